"""rsq.v1.Migrations."""

from __future__ import annotations

import grpc

from rsq.retrieval import DEFAULT_COLLECTION
from rsq.v1 import retrieval_pb2 as pb
from rsq.v1 import retrieval_pb2_grpc
from rsq.wire.collection_care import migration_to_pb
from rsq_agent.indexing.migrations import Migrations


class MigrationsServicer(retrieval_pb2_grpc.MigrationsServicer):
    def __init__(self, migrations: Migrations) -> None:
        self._migrations = migrations

    def StartMigration(
        self, request: pb.StartMigrationRequest, context: grpc.ServicerContext
    ) -> pb.Migration:
        name = request.collection or DEFAULT_COLLECTION
        return migration_to_pb(self._migrations.start(name, request.model))

    def GetMigration(
        self, request: pb.GetMigrationRequest, context: grpc.ServicerContext
    ) -> pb.Migration:
        return migration_to_pb(self._migrations.find(request.collection or DEFAULT_COLLECTION))

    def CutOver(self, request: pb.CutOverRequest, context: grpc.ServicerContext) -> pb.Migration:
        name = request.collection or DEFAULT_COLLECTION
        return migration_to_pb(self._migrations.cut_over(name, force=request.force))

    def RevertMigration(
        self, request: pb.RevertMigrationRequest, context: grpc.ServicerContext
    ) -> pb.Migration:
        return migration_to_pb(self._migrations.revert(request.collection or DEFAULT_COLLECTION))

    def CancelMigration(
        self, request: pb.CancelMigrationRequest, context: grpc.ServicerContext
    ) -> pb.CancelMigrationResponse:
        self._migrations.cancel(request.collection or DEFAULT_COLLECTION)
        return pb.CancelMigrationResponse()
