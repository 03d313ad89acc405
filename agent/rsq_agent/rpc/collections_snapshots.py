"""ReadSnapshot, RestoreSnapshot and Compact of rsq.v1.Collections."""

from __future__ import annotations

from collections.abc import Iterator

from rsq.errors import BadInput, EnvironmentFault
from rsq.retrieval import DEFAULT_COLLECTION, CollectionInfo, Compaction
from rsq.v1 import retrieval_pb2 as pb
from rsq.wire.collection_care import compaction_to_pb
from rsq.wire.retrieval import collection_info_to_pb
from rsq_agent.collections.collection_interface import VectorCollections
from rsq_agent.collections.collection_store import CollectionStore
from rsq_agent.collections.snapshots import restore_snapshot, take_snapshot


class CollectionsSnapshots:
    """Raises EnvironmentFault where the collections are in a Qdrant cluster."""

    def __init__(self, collections: VectorCollections) -> None:
        self._collections = collections

    def read(self, request: pb.ReadSnapshotRequest) -> Iterator[pb.ReadSnapshotResponse]:
        """The first message tells how much there is."""
        name = request.collection or DEFAULT_COLLECTION
        with take_snapshot(self._store(), name) as stream:
            yield pb.ReadSnapshotResponse(total_bytes=stream.total_bytes)
            for piece in stream.pieces:
                yield pb.ReadSnapshotResponse(data=piece)

    def restore(self, requests: Iterator[pb.RestoreSnapshotRequest]) -> pb.CollectionStats:
        store = self._store()
        first = next(requests, None)
        if first is None:
            raise BadInput("The stream is empty; the first message names the collection.")

        def pieces() -> Iterator[bytes]:
            yield first.data
            for request in requests:
                yield request.data

        collection = restore_snapshot(store, first.collection, pieces())
        stats = collection.stats()
        return collection_info_to_pb(
            CollectionInfo(
                collection.name,
                stats.space_id,
                stats.dimension,
                stats.points,
                stats.bytes_on_disk,
                stats.artifacts,
            )
        )

    def compact(self, request: pb.CompactRequest) -> pb.CompactResponse:
        collection = self._store().open(request.collection or DEFAULT_COLLECTION)
        before, after = collection.compact()
        return compaction_to_pb(Compaction(collection.count(), before, after))

    def _store(self) -> CollectionStore:
        if not isinstance(self._collections, CollectionStore):
            raise EnvironmentFault(
                "The collections are in a Qdrant cluster, which takes snapshots and compacts by "
                "itself: see Qdrant's own commands."
            )
        return self._collections
