"""Index items, origins and hits on the wire; what is searched for is in `search_query`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rsq.error_catalog import outcome_for_code
from rsq.errors import InternalError, RsqError
from rsq.retrieval import (
    BoundingBox,
    CollectionInfo,
    IndexItem,
    IndexOutcome,
    Origin,
    Payload,
    Position,
    SearchHit,
    Window,
)
from rsq.v1 import embedding_pb2
from rsq.v1 import retrieval_pb2 as pb

_PLAIN_KEYS = ("window", "bbox", "datetime", "tags", "stamp")  # JSON as the message has it


def payload_to_pb(row: Payload) -> pb.Payload:
    return pb.Payload(
        datetime=row.datetime,
        tags=row.tags,
        stamp=row.stamp,
        window=window_to_pb(row.window) if row.window is not None else None,
        bbox=bbox_to_pb(row.bbox) if row.bbox is not None else None,
        footprint=polygon_to_pb(row.footprint) if row.footprint else None,
    )


def payload_from_pb(message: pb.Payload) -> Payload:
    return Payload(
        window=window_from_pb(message.window) if message.HasField("window") else None,
        bbox=bbox_from_pb(message.bbox) if message.HasField("bbox") else None,
        datetime=message.datetime or None,
        tags=tuple(message.tags),
        footprint=polygon_from_pb(message.footprint) if message.HasField("footprint") else (),
        stamp=message.stamp,
    )


def polygon_to_pb(ring: Sequence[Position]) -> pb.Polygon:
    return pb.Polygon(corners=[pb.Position(longitude=x, latitude=y) for x, y in ring])


def polygon_from_pb(message: pb.Polygon) -> tuple[Position, ...]:
    return tuple((corner.longitude, corner.latitude) for corner in message.corners)


def origin_to_pb(row: Origin) -> pb.Origin:
    window = window_to_pb(row.window) if row.window is not None else None
    return pb.Origin(uri=row.uri, window=window, stamp=row.stamp)


def origin_from_pb(message: pb.Origin) -> Origin:
    window = window_from_pb(message.window) if message.HasField("window") else None
    return Origin(message.uri, window, message.stamp)


def window_to_pb(window: Window) -> pb.Window:
    return pb.Window(x=window.x, y=window.y, width=window.width, height=window.height)


def window_from_pb(window: pb.Window) -> Window:
    return Window(window.x, window.y, window.width, window.height)


def bbox_to_pb(bbox: BoundingBox) -> pb.BoundingBox:
    return pb.BoundingBox(west=bbox.west, south=bbox.south, east=bbox.east, north=bbox.north)


def bbox_from_pb(bbox: pb.BoundingBox) -> BoundingBox:
    return BoundingBox(bbox.west, bbox.south, bbox.east, bbox.north)


def index_item_to_pb(item: IndexItem, collection: str) -> pb.IndexRequest:
    return pb.IndexRequest(
        collection=collection,
        uri=item.uri,
        image=item.image,
        payload=payload_to_pb(item.payload),
    )


def index_item_from_pb(message: pb.IndexRequest) -> IndexItem:
    return IndexItem(message.uri, message.image, payload_from_pb(message.payload))


def item_error_to_pb(error: RsqError) -> embedding_pb2.ItemError:
    return embedding_pb2.ItemError(code=error.code, message=error.message)


def item_error_from_pb(message: embedding_pb2.ItemError) -> RsqError:
    outcome = outcome_for_code(message.code)
    return (outcome.error if outcome else InternalError)(message.message)


def index_outcome_to_pb(outcome: IndexOutcome) -> pb.IndexResponse:
    error = item_error_to_pb(outcome.error) if outcome.error is not None else None
    return pb.IndexResponse(uri=outcome.uri, error=error)


def index_outcome_from_pb(message: pb.IndexResponse) -> IndexOutcome:
    error = item_error_from_pb(message.error) if message.HasField("error") else None
    return IndexOutcome(message.uri, error)


def hit_to_pb(
    score: float, probability: float, uri: str, artifact_id: str, payload: Mapping[str, Any]
) -> pb.Hit:
    """A search's hit. `payload` is JSON of `rsq.retrieval.Payload`, as it was stored."""
    fields = {key: payload[key] for key in _PLAIN_KEYS if key in payload}
    if "footprint" in payload:
        fields["footprint"] = polygon_to_pb(payload["footprint"])
    return pb.Hit(
        score=score, probability=probability, uri=uri, artifact_id=artifact_id, payload=fields
    )


def hit_from_pb(message: pb.Hit) -> SearchHit:
    return SearchHit(
        message.score,
        message.probability,
        message.uri,
        payload_from_pb(message.payload),
        message.artifact_id,
    )


def collection_info_to_pb(row: CollectionInfo) -> pb.CollectionStats:
    return pb.CollectionStats(
        name=row.name,
        space_id=row.space_id,
        dimension=row.dimension,
        points=row.points,
        bytes_on_disk=row.bytes_on_disk,
        artifacts=row.artifacts,
    )


def collection_info_from_pb(message: pb.CollectionStats) -> CollectionInfo:
    return CollectionInfo(
        message.name,
        message.space_id,
        message.dimension,
        message.points,
        message.bytes_on_disk,
        dict(message.artifacts),
    )
