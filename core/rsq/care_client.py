"""The Python client for the care of an agent's collections.

from rsq.care_client import CareClient

with CareClient("127.0.0.1:7200") as care:
    care.start_migration("default", "git-rsclip-base:2")
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rsq.retrieval import Migration, RecallCheck
from rsq.rpc.channel import open_channel, translate_errors
from rsq.rpc.endpoint import Target, to_endpoint
from rsq.v1 import retrieval_pb2 as pb
from rsq.v1.retrieval_pb2_grpc import CollectionsStub, MigrationsStub
from rsq.wire.collection_care import migration_from_pb, recall_check_from_pb


class CareClient:
    """Calls an agent at HOST:PORT. Raises the rsq error that the agent names, and Unreachable where
    nothing answers."""

    def __init__(self, target: Target) -> None:
        self._endpoint = to_endpoint(target)
        self.target = self._endpoint.address
        self._channel = open_channel(self._endpoint)
        self._collections = CollectionsStub(self._channel)
        self._migrations = MigrationsStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()

    def check_recall(self, collection: str, *, queries: int = 200, k: int = 10) -> RecallCheck:
        """Approximate search on `collection` against exact search on it."""
        request = pb.CheckRecallRequest(collection=collection, queries=queries, k=k)
        with translate_errors(self._endpoint):
            return recall_check_from_pb(self._collections.CheckRecall(request))

    def start_migration(self, collection: str, model: str) -> Migration:
        """Moves `collection` to NAME or NAME:VERSION, in the background of the agent."""
        request = pb.StartMigrationRequest(collection=collection, model=model)
        with translate_errors(self._endpoint):
            return migration_from_pb(self._migrations.StartMigration(request))

    def migration(self, collection: str) -> Migration:
        request = pb.GetMigrationRequest(collection=collection)
        with translate_errors(self._endpoint):
            return migration_from_pb(self._migrations.GetMigration(request))

    def cut_over(self, collection: str, *, force: bool = False) -> Migration:
        """With `force` though images are missing or the overlap is next to nothing."""
        request = pb.CutOverRequest(collection=collection, force=force)
        with translate_errors(self._endpoint):
            return migration_from_pb(self._migrations.CutOver(request))

    def revert_migration(self, collection: str) -> Migration:
        request = pb.RevertMigrationRequest(collection=collection)
        with translate_errors(self._endpoint):
            return migration_from_pb(self._migrations.RevertMigration(request))

    def cancel_migration(self, collection: str) -> None:
        with translate_errors(self._endpoint):
            self._migrations.CancelMigration(pb.CancelMigrationRequest(collection=collection))
