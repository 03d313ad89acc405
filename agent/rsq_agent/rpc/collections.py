"""rsq.v1.Collections: the care of collections as wholes."""

from __future__ import annotations

from collections.abc import Iterator

import grpc

from rsq.errors import EnvironmentFault
from rsq.v1 import retrieval_pb2 as pb
from rsq.v1.retrieval_pb2_grpc import CollectionsServicer
from rsq_agent.rpc.collections_transfer import CollectionsTransfer


class Collections(CollectionsServicer):
    def __init__(self, transfer: CollectionsTransfer) -> None:
        self._transfer = transfer

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
        raise EnvironmentFault("This agent can't check a collection's recall yet.")

    def Compact(
        self, request: pb.CompactRequest, context: grpc.ServicerContext
    ) -> pb.CompactResponse:
        raise EnvironmentFault("This agent can't compact a collection yet.")

    def Snapshot(
        self, request: pb.SnapshotRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.SnapshotChunk]:
        raise EnvironmentFault("This agent can't write a collection's snapshot yet.")

    def Restore(
        self, request_iterator: Iterator[pb.RestoreRequest], context: grpc.ServicerContext
    ) -> pb.RestoreResponse:
        raise EnvironmentFault("This agent can't restore a snapshot yet.")
