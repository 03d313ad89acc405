"""Export and Import of rsq.v1.Collections."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rsq.digest import is_digest
from rsq.errors import BadInput
from rsq.retrieval import DEFAULT_COLLECTION, IndexOutcome, StoredRecord
from rsq.v1 import retrieval_pb2 as pb
from rsq.wire.retrieval import index_outcome_to_pb
from rsq.wire.stored_records import MAX_RECORDS, group_records, stored_record_from_pb
from rsq_agent.cache import Cache
from rsq_agent.collections.collection_interface import VectorCollection, VectorCollections
from rsq_agent.collections.index_points import IndexPoint, check_point, check_space
from rsq_agent.collections.sharing import check_sharing

_PAGE_RECORDS = 64  # read at once; a search waits so long


class CollectionsTransfer:
    def __init__(
        self,
        collections: VectorCollections,
        cache: Cache,
        *,
        optimize: Callable[[VectorCollection], None],
    ) -> None:
        """`optimize` is called with a collection that was filled, and must not block."""
        self._collections = collections
        self._cache = cache
        self._optimize = optimize

    def export(self, request: pb.ExportRequest) -> Iterator[pb.ExportResponse]:
        """The first message tells of the collection and may hold records, like those after it."""
        collection = self._collections.open(request.collection or DEFAULT_COLLECTION)
        yield pb.ExportResponse(
            space_id=collection.space_id,
            dimension=collection.dimension,
            total=collection.count(),
        )
        for group in group_records(_scroll(collection)):
            yield pb.ExportResponse(
                space_id=collection.space_id, dimension=collection.dimension, records=group
            )

    def import_(self, requests: Iterator[pb.ImportRequest]) -> Iterator[pb.IndexResponse]:
        """A record that can't be stored costs itself only. Raises BadInput and SpaceMismatch where
        the whole stream is not for this collection, or an artifact's vectors may not be mixed with
        those that are there."""
        name, collection = "", None
        allowed: set[str] = set()  # artifacts that were found to belong into it
        for request in requests:
            if collection is None:
                name = request.collection
                collection = self._collections.open_or_create(
                    name or DEFAULT_COLLECTION,
                    space_id=request.space_id,
                    dimension=request.dimension,
                )
            if request.collection != name:
                raise BadInput("One stream fills one collection.")
            if len(request.records) > MAX_RECORDS:
                raise BadInput(
                    f"{len(request.records)} records in one message, over the limit of "
                    f"{MAX_RECORDS}."
                )
            check_space(request.space_id, collection.space_id)
            for artifact_id in sorted({row.artifact_id for row in request.records} - allowed):
                if not is_digest(artifact_id):
                    continue  # its records are refused one by one
                check_sharing(self._cache, artifact_id, collection, coming=allowed)
                allowed.add(artifact_id)
            for outcome in _store(collection, request):
                yield index_outcome_to_pb(outcome)
        if collection is not None:
            self._optimize(collection)


def _scroll(collection: VectorCollection) -> Iterator[StoredRecord]:
    start = None
    while True:
        records, start = collection.scroll(start, limit=_PAGE_RECORDS)
        yield from records
        if start is None:
            return


def _store(collection: VectorCollection, request: pb.ImportRequest) -> list[IndexOutcome]:
    outcomes: list[IndexOutcome] = []
    points: list[IndexPoint] = []
    for message in request.records:
        try:
            point = _to_point(stored_record_from_pb(message), request.space_id)
            check_point(point, space_id=collection.space_id, dimension=collection.dimension)
        except BadInput as e:
            outcomes.append(IndexOutcome(message.uri, e))
            continue
        points.append(point)
        outcomes.append(IndexOutcome(message.uri, None))
    collection.add(points)
    return outcomes


def _to_point(record: StoredRecord, space_id: str) -> IndexPoint:
    payload = record.payload
    return IndexPoint(
        uri=record.uri,
        vector=record.vector,
        artifact_id=record.artifact_id,
        space_id=space_id,
        window=payload.window,
        bbox=payload.bbox,
        datetime=payload.datetime,
        tags=payload.tags,
        footprint=payload.footprint,
        stamp=payload.stamp,
    )
