"""Uploading a version to a server: blobs it lacks, resumed where cut off, then the record."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from rsq.chunks import MAX_CALL_BYTES
from rsq.errors import BadInput, DeadlineExceeded, IntegrityError, RsqError
from rsq.records import VersionRow
from rsq.rpc.channel import open_channel, translate_errors
from rsq.rpc.endpoint import Target, to_endpoint
from rsq.rpc.patience import PASSING, Patience
from rsq.v1 import registry_pb2 as pb
from rsq.v1.registry_pb2_grpc import PublishingStub
from rsq.wire import registry as wire

CALL_SECONDS = 20.0
ADD_SECONDS = 60.0  # of the call that adds the version
WRITE_SECONDS = 30.0  # of one call, which brings 16 MiB at most; what has arrived by then is kept
STORE_BYTES_PER_SECOND = 20e6  # of a slow disk that reads, hashes and writes a whole blob
PATIENCE_SECONDS = 60.0  # how long nothing may get through before a call is given up
_BATCH = 1000  # digests of one question

# The blob's bytes from an offset on, in pieces of MESSAGE_BYTES at most.
ReadFrom = Callable[[int], Iterator[bytes]]
Reply = TypeVar("Reply")


class PublishingClient:
    """Calls a server at HOST:PORT, again and again for `patience_seconds` where a call fails for
    reasons that may pass. Raises the rsq error that the server names, and Unreachable or
    DeadlineExceeded where nothing answers."""

    def __init__(self, target: Target, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._endpoint = to_endpoint(target)
        self.target = self._endpoint.address
        self._patience_seconds = patience_seconds
        self._connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()

    def check_reachable(self) -> None:
        """Asks once, and raises at once where no server that takes versions answers."""
        self._find_missing([])

    def find_missing(self, digests: Collection[str]) -> set[str]:
        """Those that the server lacks. It keeps the others for a day."""
        listed = sorted(digests)
        missing: set[str] = set()
        for start in range(0, len(listed), _BATCH):
            batch = listed[start : start + _BATCH]
            missing |= self._insist(partial(self._find_missing, batch))
        return missing

    def upload(
        self,
        digest: str,
        size_bytes: int,
        read_from: ReadFrom,
        *,
        on_bytes: Callable[[int], None] = lambda count: None,
    ) -> None:
        """Brings the blob to the server, from where an earlier upload was cut off. `on_bytes` hears
        by how many bytes what the server holds has grown, or shrunk where it begins again. Raises
        IntegrityError for bytes that `digest` doesn't name, and what `read_from` raises."""
        held = earlier = self._insist(partial(self._held_bytes, digest))
        on_bytes(held)
        storing_seconds = size_bytes / STORE_BYTES_PER_SECOND
        patience = Patience(self._patience_seconds + storing_seconds)
        while True:
            before = held
            is_last = size_bytes - held <= MAX_CALL_BYTES
            timeout = WRITE_SECONDS + (storing_seconds if is_last else 0)
            try:
                reply = self._write(digest, size_bytes, held, read_from, timeout)
            except PASSING as e:
                self._recover(e)
                held = self._held_or(digest, before)
                if held == before:
                    patience.wait(e)
            except BadInput:
                # A call that was cut off may still have been storing when we asked what is held.
                held = self._insist(partial(self._held_bytes, digest))
                if held == before:
                    raise
            except IntegrityError:
                # The server has dropped the blob. If somebody else began it, theirs may be wrong.
                if not earlier:
                    raise
                held = earlier = 0
            else:
                if reply.complete:
                    on_bytes(size_bytes - held)
                    return
                held = int(reply.held_bytes)
                if held == before:
                    raise IntegrityError(
                        f"{digest} ends after {held} bytes; {size_bytes} were announced. "
                        "Did its file change?"
                    )
            if held != before:
                patience.renew()
                on_bytes(held - before)

    def add_version(self, record: bytes, *, alias: str | None) -> VersionRow:
        """Adds the version that the record describes, once, however often the call is made. Raises
        what `Catalogue.add_version` raises."""
        request = pb.AddVersionRequest(record=record, alias=alias)

        def call() -> pb.AddVersionResponse:
            with translate_errors(self._endpoint):
                return self._stub.AddVersion(request, timeout=ADD_SECONDS)

        return wire.version_from_pb(self._insist(call).version)

    def _connect(self) -> None:
        self._channel = open_channel(self._endpoint)
        self._stub = PublishingStub(self._channel)

    def _recover(self, error: RsqError) -> None:
        """A connection on which nothing came back may be dead without anybody having said so."""
        if isinstance(error, DeadlineExceeded):
            self._channel.close()
            self._connect()

    def _insist(self, call: Callable[[], Reply]) -> Reply:
        patience = Patience(self._patience_seconds)
        while True:
            try:
                return call()
            except PASSING as e:
                patience.wait(e)
                self._recover(e)

    def _find_missing(self, digests: Collection[str]) -> set[str]:
        with translate_errors(self._endpoint):
            reply = self._stub.FindMissing(
                pb.FindMissingRequest(digests=digests), timeout=CALL_SECONDS
            )
        return set(reply.digests)

    def _held_bytes(self, digest: str) -> int:
        with translate_errors(self._endpoint):
            reply = self._stub.GetUpload(pb.GetUploadRequest(digest=digest), timeout=CALL_SECONDS)
        return int(reply.held_bytes)

    def _held_or(self, digest: str, held: int) -> int:
        try:
            return self._held_bytes(digest)
        except PASSING as e:
            self._recover(e)
            return held

    def _write(
        self, digest: str, size_bytes: int, offset: int, read_from: ReadFrom, timeout_seconds: float
    ) -> pb.WriteBlobResponse:
        failures: list[RsqError] = []

        def messages() -> Iterator[pb.WriteBlobRequest]:
            yield pb.WriteBlobRequest(digest=digest, size_bytes=size_bytes, offset=offset)
            left = MAX_CALL_BYTES
            try:
                for piece in read_from(offset):
                    yield pb.WriteBlobRequest(data=piece[:left])
                    left -= len(piece)
                    if left <= 0:
                        return
            except RsqError as e:
                failures.append(e)  # grpc would hide what an iterator raises

        reply: pb.WriteBlobResponse
        with translate_errors(self._endpoint):
            reply = self._stub.WriteBlob(messages(), timeout=timeout_seconds)
        if failures:
            raise failures[0]
        return reply
