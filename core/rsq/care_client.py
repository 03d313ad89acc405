"""The Python client for the care of an agent's collections.

from rsq.care_client import CareClient

with CareClient("127.0.0.1:7200") as care:
    care.start_migration("default", "git-rsclip-base:2")
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from rsq.retrieval import CollectionInfo, Compaction, Migration, RecallCheck
from rsq.rpc.channel import open_channel, translate_errors
from rsq.rpc.collection_snapshots import read_snapshot, restore_snapshot
from rsq.rpc.endpoint import Target, to_endpoint
from rsq.v1 import retrieval_pb2 as pb
from rsq.v1.retrieval_pb2_grpc import CollectionsStub, MigrationsStub
from rsq.wire.collection_care import (
    compaction_from_pb,
    migration_from_pb,
    recall_check_from_pb,
)


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

    def save_snapshot(
        self,
        collection: str,
        out: Path,
        advance: Callable[[int, int], None] = lambda done, total: None,
    ) -> int:
        """Writes `collection` as it is now to the tar file `out`, which is replaced once it is
        complete, and returns its bytes. `advance` hears of bytes done and in all. Raises
        IntegrityError where the stream ends early."""
        return read_snapshot(self._collections, self._endpoint, collection, out, advance)

    def restore_snapshot(
        self,
        file: Path,
        collection: str = "",
        advance: Callable[[int, int], None] = lambda done, total: None,
    ) -> CollectionInfo:
        """Makes a new collection of a snapshot, called as it was or else `collection`."""
        return restore_snapshot(self._collections, self._endpoint, file, collection, advance)

    def compact(self, collection: str) -> Compaction:
        """Writes the points of `collection` anew, without what was deleted, and builds the graph;
        searches go on."""
        with translate_errors(self._endpoint):
            return compaction_from_pb(
                self._collections.Compact(pb.CompactRequest(collection=collection))
            )

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
