"""The gRPC server as every rsq program runs it: statuses, bounds, health, binding."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc
import pytest
from fake_registry import FakeRegistry, serve_registry
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from rsq.errors import (
    BadInput,
    EnvironmentFault,
    Exhausted,
    InternalError,
    NotFound,
    NothingFits,
    Unreachable,
)
from rsq.rpc import server as rpc_server
from rsq.rpc.addresses import is_loopback, split_address
from rsq.rpc.channel import open_channel
from rsq.rpc.registry import RegistryClient
from rsq.rpc.security import Security
from rsq.rpc.server import RpcServer
from rsq.v1 import registry_pb2 as pb


class Scripted(FakeRegistry):
    """Raises what the test wants."""

    error: Exception | None = None
    hold: threading.Event | None = None

    def ListModels(
        self, request: pb.ListModelsRequest, context: grpc.ServicerContext
    ) -> pb.ListModelsResponse:
        if self.hold is not None:
            self.hold.wait(20)
        if self.error is not None:
            raise self.error
        return pb.ListModelsResponse()


@pytest.fixture
def scripted() -> Iterator[tuple[Scripted, str]]:
    registry = Scripted()
    with serve_registry(registry) as address:
        yield registry, address


def test_an_error_arrives_as_the_same_class_sentence_and_candidates(
    scripted: tuple[Scripted, str],
) -> None:
    registry, address = scripted
    registry.error = NothingFits("Too small.", candidates=[{"tower": "text", "reason": "X"}])
    with RegistryClient(address) as client, pytest.raises(NothingFits, match="Too small") as caught:
        client.models()
    assert caught.value.candidates == [{"tower": "text", "reason": "X"}]


def test_a_bug_shows_a_fixed_sentence_and_its_details_stay_in_the_log(
    scripted: tuple[Scripted, str], caplog: pytest.LogCaptureFixture
) -> None:
    registry, address = scripted
    registry.error = ZeroDivisionError("secret path /etc")
    with RegistryClient(address) as client, pytest.raises(InternalError) as caught:
        client.models()
    assert "secret" not in str(caught.value)
    assert "secret" in caplog.text


def test_an_error_inside_a_stream_keeps_its_class(scripted: tuple[Scripted, str]) -> None:
    fake, address = scripted
    with RegistryClient(address) as client:
        with pytest.raises(NotFound):
            client.version("nobody")
        with pytest.raises(NotFound):
            list(client.read_blob("0" * 64, 0, 10))
        fake.blobs["0" * 64] = b"some bytes"
        fake.part_bytes = 0  # fails with ValueError
        with pytest.raises(InternalError):
            list(client.read_blob("0" * 64, 0, 10))


def test_nothing_there_is_unreachable_and_names_the_address() -> None:
    with (
        RegistryClient("127.0.0.1:1") as client,
        pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"),
    ):
        client.models()


def test_over_the_bound_calls_are_shed_while_health_answers(
    scripted: tuple[Scripted, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, address = scripted
    registry.hold = threading.Event()
    with open_channel(address) as channel, RegistryClient(address) as client:
        stub = channel.unary_unary(
            "/rsq.v1.Registry/ListModels",
            request_serializer=pb.ListModelsRequest.SerializeToString,
            response_deserializer=pb.ListModelsResponse.FromString,
        )
        held = [
            stub.future(pb.ListModelsRequest(), timeout=30)
            for _ in range(rpc_server.MAX_CONCURRENT)
        ]
        try:
            for _ in range(200):
                try:
                    client.version("nobody")
                except Exhausted:
                    break
                except NotFound:
                    continue  # not all of the held calls have arrived yet
            else:
                pytest.fail("The bound never held.")
            health = health_pb2_grpc.HealthStub(channel)
            reply = health.Check(health_pb2.HealthCheckRequest(), timeout=10)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        finally:
            registry.hold.set()
        assert all(future.result() is not None for future in held)


def test_reflection_lists_the_services(scripted: tuple[Scripted, str]) -> None:
    _, address = scripted
    with open_channel(address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (reply,) = stub.ServerReflectionInfo(iter([request]), timeout=10)
    names = {service.name for service in reply.list_services_response.service}
    assert {"rsq.v1.Registry", "grpc.health.v1.Health"} <= names


def test_a_taken_port_is_refused_instead_of_shared(scripted: tuple[Scripted, str]) -> None:
    _, address = scripted
    with pytest.raises(EnvironmentFault, match="in use"):
        RpcServer([], listen=address)


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:80", "example.org:80"])
def test_a_bind_beyond_loopback_needs_to_be_asked_for(listen: str) -> None:
    with pytest.raises(BadInput, match="--insecure"):
        RpcServer([], listen=listen)


def test_insecure_allows_a_bind_beyond_loopback() -> None:
    server = RpcServer([], listen="0.0.0.0:0", security=Security(insecure=True))
    assert not server.address.endswith(":0")
    server.stop()


@pytest.mark.parametrize(
    "address", ["", "host", ":80", "host:", "host:99999", "host:x", "::1:80", "a:1:2"]
)
def test_malformed_addresses_are_named(address: str) -> None:
    with pytest.raises(BadInput, match="HOST:PORT"):
        split_address(address)


def test_addresses_split_into_host_and_port() -> None:
    assert split_address("127.0.0.1:7100") == ("127.0.0.1", 7100)
    assert split_address("[::1]:7100") == ("::1", 7100)
    assert is_loopback("::1")
    assert is_loopback("127.8.8.8")
    assert not is_loopback("10.0.0.1")
