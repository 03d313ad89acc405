"""What is searched for, on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rsq.errors import BadInput
from rsq.retrieval import Diversity, QueryPart, SearchFilter, SearchOptions
from rsq.v1 import retrieval_pb2 as pb
from rsq.wire.retrieval import (
    bbox_from_pb,
    origin_from_pb,
    origin_to_pb,
    polygon_from_pb,
    polygon_to_pb,
)
from rsq.wire.vectors import vectors_from_pb, vectors_to_pb


def query_part_to_pb(part: QueryPart) -> pb.QueryPart:
    message = pb.QueryPart(weight=part.weight)
    if part.text is not None:
        message.text = part.text
    elif part.image is not None:
        message.image = part.image
    elif part.vector is not None:
        message.vector.CopyFrom(vectors_to_pb(part.vector[None], "float32"))
    elif part.like is not None:
        message.like.CopyFrom(origin_to_pb(part.like))
    return message


def query_part_from_pb(message: pb.QueryPart) -> QueryPart:
    """Raises BadInput for an empty part and for other than one vector."""
    kind, weight = message.WhichOneof("of"), message.weight or 1.0
    if kind == "text":
        return QueryPart(text=message.text, weight=weight)
    if kind == "image":
        return QueryPart(image=message.image, weight=weight)
    if kind == "like":
        return QueryPart(like=origin_from_pb(message.like), weight=weight)
    if kind == "vector":
        rows = vectors_from_pb(message.vector)
        if len(rows) != 1:
            raise BadInput(f"A part of a query takes one vector, not {len(rows)}.")
        return QueryPart(vector=rows[0], weight=weight)
    raise BadInput("A part of a query needs a text, an image, a vector or a stored image.")


def filter_to_pb(row: SearchFilter) -> pb.Filter:
    message = pb.Filter(
        since=row.since or "",
        until=row.until or "",
        all_tags=row.all_tags,
        any_tags=row.any_tags,
        uri_prefix=row.uri_prefix,
    )
    if row.bbox is not None:
        message.bbox.CopyFrom(pb.BoundingBox(**asdict(row.bbox)))
    if row.polygon:
        message.polygon.CopyFrom(polygon_to_pb(row.polygon))
    return message


def filter_from_pb(message: pb.Filter) -> SearchFilter:
    return SearchFilter(
        bbox=bbox_from_pb(message.bbox) if message.HasField("bbox") else None,
        polygon=polygon_from_pb(message.polygon),
        since=message.since or None,
        until=message.until or None,
        all_tags=tuple(message.all_tags),
        any_tags=tuple(message.any_tags),
        uri_prefix=message.uri_prefix,
    )


def search_to_pb(
    parts: Sequence[QueryPart], options: SearchOptions, *, collection: str, space_id: str
) -> pb.SearchRequest:
    """Raises BadInput for a count that is negative or too large for the wire."""
    counts = [options.limit - 1, options.offset, options.per_uri]
    if options.diversity is not None:
        counts.append(options.diversity.fetch)
    if not all(0 <= count < 1 << 31 for count in counts):
        raise BadInput("The limit of a search is at least 1, and no other count is below 0.")
    message = pb.SearchRequest(
        collection=collection,
        parts=[query_part_to_pb(part) for part in parts],
        space_id=space_id,
        filter=filter_to_pb(options.filter),
        limit=options.limit,
        offset=options.offset,
        min_score=options.min_score,
        per_uri=options.per_uri,
        collapse_cosine=options.collapse_cosine,
        exact=options.exact,
    )
    if options.diversity is not None:
        message.diversity.CopyFrom(pb.Diversity(**asdict(options.diversity)))
    return message


def search_options_from_pb(message: pb.SearchRequest) -> SearchOptions:
    diversity = message.diversity
    return SearchOptions(
        limit=message.limit or SearchOptions.limit,
        offset=message.offset,
        min_score=message.min_score if message.HasField("min_score") else None,
        filter=filter_from_pb(message.filter),
        per_uri=message.per_uri,
        diversity=Diversity(diversity.relevance, diversity.fetch)
        if message.HasField("diversity")
        else None,
        collapse_cosine=message.collapse_cosine if message.HasField("collapse_cosine") else None,
        exact=message.exact,
    )
