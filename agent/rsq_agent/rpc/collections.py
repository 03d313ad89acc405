"""rsq.v1.Collections: the care of collections as wholes."""

from __future__ import annotations

from collections.abc import Iterator

import grpc

from rsq.retrieval import DEFAULT_COLLECTION
from rsq.v1 import retrieval_pb2 as pb
from rsq.v1.retrieval_pb2_grpc import CollectionsServicer
from rsq.wire.collection_care import recall_check_to_pb
from rsq_agent.collections.collection_interface import VectorCollections
from rsq_agent.collections.recall import check_recall
from rsq_agent.rpc.collections_snapshots import CollectionsSnapshots
from rsq_agent.rpc.collections_transfer import CollectionsTransfer

DEFAULT_QUERIES = 200
DEFAULT_K = 10


class Collections(CollectionsServicer):
    def __init__(self, transfer: CollectionsTransfer, collections: VectorCollections) -> None:
        self._transfer = transfer
        self._collections = collections
        self._snapshots = CollectionsSnapshots(collections)

    def Export(
        self, request: pb.ExportRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ExportResponse]:
        return self._transfer.export(request)

    def Import(
        self, request_iterator: Iterator[pb.ImportRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.IndexResponse]:
        return self._transfer.import_(request_iterator)

    def CheckRecall(
        self, request: pb.CheckRecallRequest, context: grpc.ServicerContext
    ) -> pb.CheckRecallResponse:
        collection = self._collections.open(request.collection or DEFAULT_COLLECTION)
        found = check_recall(
            collection, queries=request.queries or DEFAULT_QUERIES, k=request.k or DEFAULT_K
        )
        return recall_check_to_pb(found)

    def ReadSnapshot(
        self, request: pb.ReadSnapshotRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ReadSnapshotResponse]:
        return self._snapshots.read(request)

    def RestoreSnapshot(
        self,
        request_iterator: Iterator[pb.RestoreSnapshotRequest],
        context: grpc.ServicerContext,
    ) -> pb.CollectionStats:
        return self._snapshots.restore(request_iterator)

    def Compact(
        self, request: pb.CompactRequest, context: grpc.ServicerContext
    ) -> pb.CompactResponse:
        return self._snapshots.compact(request)
