"""Uploading a version to a server: blobs it lacks, resumed where cut off, then the record."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator
from types import TracebackType
from typing import Self

from rsq.errors import DeadlineExceeded, Exhausted, Unreachable
from rsq.records import VersionRow
from rsq.rpc.channel import open_channel, translate_errors
from rsq.v1 import registry_pb2 as pb
from rsq.v1.registry_pb2_grpc import PublishingStub
from rsq.wire import registry as wire

CALL_SECONDS = 20.0
WRITE_SECONDS = 120.0  # of one call, which brings 16 MiB at most
STORE_SECONDS = 600.0  # of the call that adds the version, or ends a blob that is then hashed whole
PATIENCE_SECONDS = 60.0  # how long nothing may arrive before an upload gives up
MAX_CALL_BYTES = 16 << 20
MESSAGE_BYTES = 256 << 10
BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.2, 5.0
_BATCH = 1000  # digests of one question
_RETRIED = (Unreachable, DeadlineExceeded, Exhausted)

ReadFrom = Callable[[int], Iterator[bytes]]  # the blob's bytes from an offset on, in small pieces


class PublishingClient:
    """Calls a server at HOST:PORT. Raises the rsq error that the server names, Unreachable where
    nothing answers."""

    def __init__(self, target: str) -> None:
        self.target = target
        self._channel = open_channel(target)
        self._stub = PublishingStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()

    def find_missing(self, digests: Collection[str]) -> set[str]:
        """Those that the server lacks. It keeps the others for a day."""
        listed = sorted(digests)
        missing: set[str] = set()
        for start in range(0, len(listed), _BATCH):
            request = pb.FindMissingRequest(digests=listed[start : start + _BATCH])
            with translate_errors(self.target):
                missing.update(self._stub.FindMissing(request, timeout=CALL_SECONDS).digests)
        return missing

    def upload(
        self,
        digest: str,
        size_bytes: int,
        read_from: ReadFrom,
        *,
        on_bytes: Callable[[int], None] = lambda count: None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Brings the blob to the server, from where an earlier upload was cut off. `on_bytes` hears
        of bytes that the server holds. Raises IntegrityError when they turn out to be others than
        `digest` names, and the last failure when nothing got through for `patience_seconds`."""
        held = self._held_bytes(digest)
        on_bytes(held)
        failures, moved_at = 0, time.monotonic()
        while True:
            try:
                reply = self._write(digest, size_bytes, held, read_from)
            except _RETRIED:
                if time.monotonic() - moved_at > patience_seconds:
                    raise
                time.sleep(_backoff_seconds(failures))
                failures += 1
                now_held = self._held_or(digest, held)
            else:
                if reply.complete:
                    on_bytes(size_bytes - held)
                    return
                now_held = int(reply.held_bytes)
            if now_held != held:
                failures, moved_at = 0, time.monotonic()
                on_bytes(now_held - held)
                held = now_held

    def add_version(self, record: bytes, *, alias: str | None) -> VersionRow:
        """Adds the version that the record describes; the same artifacts as the model's newest
        version has are that version. Raises what `Catalogue.add_version` raises."""
        with translate_errors(self.target):
            reply = self._stub.AddVersion(
                pb.AddVersionRequest(record=record, alias=alias), timeout=STORE_SECONDS
            )
        return wire.version_from_pb(reply.version)

    def _held_bytes(self, digest: str) -> int:
        with translate_errors(self.target):
            reply = self._stub.GetUpload(pb.GetUploadRequest(digest=digest), timeout=CALL_SECONDS)
        return int(reply.held_bytes)

    def _held_or(self, digest: str, held: int) -> int:
        try:
            return self._held_bytes(digest)
        except _RETRIED:
            return held

    def _write(
        self, digest: str, size_bytes: int, offset: int, read_from: ReadFrom
    ) -> pb.WriteBlobResponse:
        def messages() -> Iterator[pb.WriteBlobRequest]:
            yield pb.WriteBlobRequest(digest=digest, size_bytes=size_bytes, offset=offset)
            left = MAX_CALL_BYTES
            for piece in read_from(offset):
                yield pb.WriteBlobRequest(data=piece[:left])
                left -= len(piece)
                if left <= 0:
                    return

        last = size_bytes - offset <= MAX_CALL_BYTES
        with translate_errors(self.target):
            reply: pb.WriteBlobResponse = self._stub.WriteBlob(
                messages(), timeout=STORE_SECONDS if last else WRITE_SECONDS
            )
        return reply


def _backoff_seconds(failures: int) -> float:
    longest = min(MAX_BACKOFF_SECONDS, BACKOFF_SECONDS * 2.0 ** min(failures, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
