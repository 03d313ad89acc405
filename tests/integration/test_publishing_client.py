"""The publishing client against servers that answer late, oddly or only the second time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import pytest

from rsq.digest import digest_bytes
from rsq.errors import BadInput, EnvironmentFault, Exhausted, IntegrityError, RsqError, Unreachable
from rsq.records import VersionRow
from rsq.rpc.publishing import PublishingClient
from rsq.rpc.server import RpcServer
from rsq.v1 import registry_pb2 as pb
from rsq.v1.registry_pb2_grpc import PublishingServicer, add_PublishingServicer_to_server
from rsq.wire import registry as wire

DATA = bytes(range(256)) * 16
DIGEST = digest_bytes(DATA)
VERSION = VersionRow("demo", 1, "a" * 64, 4, "2026-01-01T00:00:00Z", "MIT", "here", ())


class ScriptedServer(PublishingServicer):
    """Holds one blob. Each call first raises the next of `failures`, until none is left."""

    def __init__(self) -> None:
        self.failures: list[RsqError] = []
        self.held = b""
        self.refusal: RsqError | None = None  # of every write
        self.part_bytes = len(DATA)  # that one write keeps
        self.drops_every_other_write = False
        self.late = 0  # bytes that a call which was cut off stores after `held_bytes` was asked
        self.complete = False
        self.offsets: list[int] = []
        self.asked: list[int] = []  # how many digests each question had

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    def FindMissing(
        self, request: pb.FindMissingRequest, context: grpc.ServicerContext
    ) -> pb.FindMissingResponse:
        self._fail()
        self.asked.append(len(request.digests))
        return pb.FindMissingResponse(digests=request.digests[:1])

    def GetUpload(
        self, request: pb.GetUploadRequest, context: grpc.ServicerContext
    ) -> pb.GetUploadResponse:
        self._fail()
        held_bytes = len(self.held)
        self.held += DATA[held_bytes : held_bytes + self.late]
        self.late = 0
        return pb.GetUploadResponse(held_bytes=held_bytes)

    def WriteBlob(
        self, request_iterator: Iterator[pb.WriteBlobRequest], context: grpc.ServicerContext
    ) -> pb.WriteBlobResponse:
        first = next(request_iterator)
        self.offsets.append(first.offset)
        self._fail()
        if self.drops_every_other_write and len(self.offsets) % 2:
            raise Unreachable("Gone.")
        if self.refusal is not None:
            raise self.refusal
        if first.offset != len(self.held):
            raise BadInput("Another offset.")
        sent = b"".join(message.data for message in request_iterator)
        self.held += sent[: self.part_bytes]
        self.complete = self.held == DATA
        return pb.WriteBlobResponse(held_bytes=len(self.held), complete=self.complete)

    def AddVersion(
        self, request: pb.AddVersionRequest, context: grpc.ServicerContext
    ) -> pb.AddVersionResponse:
        self._fail()
        return pb.AddVersionResponse(version=wire.version_to_pb(VERSION))


@pytest.fixture
def scripted() -> ScriptedServer:
    return ScriptedServer()


@contextmanager
def _serve(scripted: ScriptedServer) -> Iterator[str]:
    server = RpcServer(
        [("rsq.v1.Publishing", lambda grpc_: add_PublishingServicer_to_server(scripted, grpc_))],
        listen="127.0.0.1:0",
    )
    server.start()
    try:
        yield server.address
    finally:
        server.stop()


@pytest.fixture
def client(scripted: ScriptedServer) -> Iterator[PublishingClient]:
    with _serve(scripted) as address, PublishingClient(address, patience_seconds=20) as client:
        yield client


def _from(data: bytes) -> Callable[[int], Iterator[bytes]]:
    return lambda offset: iter([data[offset:]])


def test_calls_are_made_again_where_a_failure_may_pass(
    scripted: ScriptedServer, client: PublishingClient
) -> None:
    for call in (
        lambda: client.find_missing([DIGEST]) == {DIGEST},
        lambda: client.upload(DIGEST, len(DATA), _from(DATA)) is None,
        lambda: client.add_version(b"{}", alias=None) == VERSION,
    ):
        scripted.failures = [Unreachable("Gone."), Exhausted("Too many calls.")]
        assert call()
        assert scripted.failures == []
    assert scripted.held == DATA


def test_patience_begins_anew_whenever_bytes_arrive(scripted: ScriptedServer) -> None:
    scripted.part_bytes = len(DATA) // 16
    scripted.drops_every_other_write = True
    with (
        _serve(scripted) as address,
        PublishingClient(address, patience_seconds=0.5) as client,
    ):
        client.upload(DIGEST, len(DATA), _from(DATA))  # fails for some seconds in all
    assert scripted.held == DATA
    assert len(scripted.offsets) == 32


def test_other_failures_are_final(scripted: ScriptedServer, client: PublishingClient) -> None:
    scripted.failures = [BadInput("No."), Exhausted("Not reached.")]
    with pytest.raises(BadInput, match="No"):
        client.find_missing([DIGEST])
    assert len(scripted.failures) == 1


def test_a_server_is_asked_once_whether_it_is_there(
    scripted: ScriptedServer, client: PublishingClient
) -> None:
    client.check_reachable()
    assert scripted.asked == [0]
    scripted.failures = [Exhausted("Too many calls."), Exhausted("Too many calls.")]
    with pytest.raises(Exhausted):
        client.check_reachable()
    assert len(scripted.failures) == 1


def test_what_answers_without_taking_versions_is_named() -> None:
    server = RpcServer([], listen="127.0.0.1:0")
    server.start()
    try:
        with (
            PublishingClient(server.address) as client,
            pytest.raises(BadInput, match=f"{server.address} does not offer this call"),
        ):
            client.check_reachable()
    finally:
        server.stop()


def test_many_digests_are_asked_about_in_several_calls(
    scripted: ScriptedServer, client: PublishingClient
) -> None:
    digests = [digest_bytes(str(number).encode()) for number in range(2500)]
    assert client.find_missing(digests) == {sorted(digests)[start] for start in (0, 1000, 2000)}
    assert scripted.asked == [1000, 1000, 500]


def test_bytes_that_a_cut_off_call_stored_late_are_not_sent_again(
    scripted: ScriptedServer, client: PublishingClient
) -> None:
    scripted.late = 1000
    moved: list[int] = []
    client.upload(DIGEST, len(DATA), _from(DATA), on_bytes=moved.append)
    assert scripted.offsets == [0, 1000]
    assert scripted.held == DATA
    assert sum(moved) == len(DATA)


@pytest.mark.parametrize(
    ("held_bytes", "refusal", "offsets"),
    [
        (10, BadInput("Too large."), [10]),
        (0, IntegrityError("Other bytes."), [0]),
        # What was there may have been somebody else's, so one more try is fair.
        (10, IntegrityError("Other bytes."), [10, 0]),
    ],
)
def test_a_refused_upload_is_not_sent_for_ever(
    scripted: ScriptedServer,
    client: PublishingClient,
    held_bytes: int,
    refusal: RsqError,
    offsets: list[int],
) -> None:
    scripted.held = DATA[:held_bytes]
    scripted.refusal = refusal
    with pytest.raises(type(refusal), match=refusal.message):
        client.upload(DIGEST, len(DATA), _from(DATA))
    assert scripted.offsets == offsets


def test_a_file_that_became_shorter_is_no_endless_upload(client: PublishingClient) -> None:
    with pytest.raises(IntegrityError, match="Did its file change"):
        client.upload(DIGEST, len(DATA), _from(DATA[:100]))


@pytest.mark.parametrize("given", [0, 100])
def test_a_file_that_cannot_be_read_is_said_as_such(
    scripted: ScriptedServer, client: PublishingClient, given: int
) -> None:
    def read_from(offset: int) -> Iterator[bytes]:
        yield DATA[offset:given]
        raise EnvironmentFault("weights.bin can't be read.")

    with pytest.raises(EnvironmentFault, match=r"weights\.bin"):
        client.upload(DIGEST, len(DATA), read_from)
    assert not scripted.complete
