"""Snapshots of collections, from an agent to a file here and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from rsq.errors import EnvironmentFault, IntegrityError, RsqError
from rsq.output_file import require_space, write_output
from rsq.retrieval import CollectionInfo
from rsq.rpc.channel import translate_errors
from rsq.rpc.endpoint import Target
from rsq.v1 import retrieval_pb2 as pb
from rsq.v1.retrieval_pb2_grpc import CollectionsStub
from rsq.wire.retrieval import collection_info_from_pb

_PIECE_BYTES = 256 << 10

Advance = Callable[[int, int], None]


def read_snapshot(
    stub: CollectionsStub, target: Target, collection: str, out: Path, advance: Advance
) -> int:
    with translate_errors(target):
        replies = stub.ReadSnapshot(pb.ReadSnapshotRequest(collection=collection))
        total = int(next(replies).total_bytes)
    require_space(out.parent, total)

    def pieces() -> Iterator[bytes]:
        done = 0
        with translate_errors(target):
            for reply in replies:
                yield reply.data
                done += len(reply.data)
                advance(done, total)
        if done != total:
            raise IntegrityError(f"The snapshot ended after {done} of {total} bytes. Try again.")

    try:
        write_output(out, pieces())
    finally:
        replies.cancel()
    return total


def restore_snapshot(
    stub: CollectionsStub, target: Target, file: Path, collection: str, advance: Advance
) -> CollectionInfo:
    failures: list[OSError] = []

    def requests() -> Iterator[pb.RestoreSnapshotRequest]:
        yield pb.RestoreSnapshotRequest(collection=collection)
        done = 0
        try:
            with file.open("rb") as reader:
                total = file.stat().st_size
                while piece := reader.read(_PIECE_BYTES):
                    yield pb.RestoreSnapshotRequest(data=piece)
                    done += len(piece)
                    advance(done, total)
        except OSError as e:  # grpc would replace it by an error of its own
            failures.append(e)

    try:
        with translate_errors(target):
            return collection_info_from_pb(stub.RestoreSnapshot(requests()))
    except RsqError as e:
        if failures:
            reason = failures[0].strerror or failures[0]
            raise EnvironmentFault(f"{file} can't be read: {reason}.") from e
        raise
