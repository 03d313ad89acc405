"""The registry's service over a real gRPC server, called with the client that nodes use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tiny_artifacts import profile
from tiny_registry import store_version

from rsq.chunks import MAX_CALL_BYTES, MESSAGE_BYTES
from rsq.digest import digest_bytes
from rsq.errors import BadInput, EnvironmentFault, NotFound
from rsq.manifest import artifact_id, decode_manifest
from rsq.records import NodeReport, VersionRow
from rsq.rpc.channel import open_channel
from rsq.rpc.registry import RegistryClient
from rsq.v1 import registry_pb2 as pb
from rsq.v1.registry_pb2_grpc import RegistryStub
from rsq_server.app import REGISTRY_SERVICE, Stores, open_stores, run_server
from rsq_server.config import ServerConfig

PADDING_BYTES = 2 * MESSAGE_BYTES


@dataclass
class World:
    """A running server, what it stands on, and a client of it."""

    config: ServerConfig
    stores: Stores
    version: VersionRow
    client: RegistryClient

    def report(self, **changes: object) -> NodeReport:
        report = NodeReport(
            node_id="node-1",
            hostname="edge",
            agent_version="0.1.0",
            device="cpu",
            providers=("CPUExecutionProvider",),
            memory_bytes=8_000_000_000,
            model="tiny",
            version=1,
            artifact_ids=(self.version.artifacts[0].id,),
            profiles=(profile(self.version.artifacts[0].id, peak_bytes=5_000_000),),
        )
        return replace(report, **changes)  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    config = ServerConfig(tmp_path / "server", listen="127.0.0.1:0")
    with ExitStack() as stack:
        stores = stack.enter_context(open_stores(config))
        version = store_version(
            stores, tmp_path / "artifacts", alias="production", padding_bytes=PADDING_BYTES
        )
        server = stack.enter_context(run_server(stores, config))
        client = stack.enter_context(RegistryClient(server.address))
        yield World(config, stores, version, client)


def weights_of(world: World) -> tuple[str, bytes]:
    """(digest, bytes) of a blob of several messages."""
    manifest = decode_manifest(world.client.manifest(world.version.artifacts[0].id))
    digest = manifest.file("weights").sha256
    with world.stores.blobs.open(digest) as file:
        return digest, file.read()


def test_a_version_arrives_with_everything_recorded(world: World) -> None:
    assert world.client.version("tiny") == world.version
    assert world.client.version("tiny:1") == world.version
    assert world.client.version("tiny@production") == world.version
    assert world.version.aliases == ("production",)


def test_models_arrive_as_the_catalogue_lists_them(world: World) -> None:
    assert world.client.models() == world.stores.catalogue.models()
    assert world.client.models()[0].aliases == {"production": 1}


@pytest.mark.parametrize("reference", ["other", "tiny:2", "tiny@staging"])
def test_an_unknown_reference_is_not_found_in_the_catalogues_words(
    world: World, reference: str
) -> None:
    with pytest.raises(NotFound) as local:
        world.stores.catalogue.resolve_reference(reference)
    with pytest.raises(NotFound) as remote:
        world.client.version(reference)
    assert remote.value.message == local.value.message


@pytest.mark.parametrize("reference", ["", "../x", "tiny:0", "tiny@", "a" * 100_000])
def test_a_malformed_reference_is_bad_input(world: World, reference: str) -> None:
    with pytest.raises(BadInput):
        world.client.version(reference)


def test_a_manifest_arrives_byte_for_byte(world: World) -> None:
    for artifact in world.version.artifacts:
        assert artifact_id(world.client.manifest(artifact.id)) == artifact.id


def test_the_manifest_of_an_unknown_artifact_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        world.client.manifest("0" * 64)
    with pytest.raises(BadInput):
        world.client.manifest("../registry.db")
    digest, _ = weights_of(world)  # a blob, but no artifact
    with pytest.raises(NotFound):
        world.client.manifest(digest)


def test_a_blob_arrives_whole_in_messages_of_at_most_256_kib(world: World) -> None:
    digest, expected = weights_of(world)
    assert len(expected) > 2 * MESSAGE_BYTES
    pieces = list(world.client.read_blob(digest, 0, len(expected)))
    assert b"".join(pieces) == expected
    assert digest_bytes(expected) == digest
    assert [len(piece) for piece in pieces[:-1]] == [MESSAGE_BYTES] * (len(pieces) - 1)
    assert MESSAGE_BYTES == 256 * 1024


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 1), (1, 10), (MESSAGE_BYTES - 1, 2), (5, MESSAGE_BYTES + 1)]
)
def test_any_range_inside_a_blob_is_those_bytes(world: World, offset: int, length: int) -> None:
    digest, expected = weights_of(world)
    pieces = world.client.read_blob(digest, offset, length)
    assert b"".join(pieces) == expected[offset : offset + length]


def test_a_range_that_runs_over_the_end_is_cut_short(world: World) -> None:
    digest, expected = weights_of(world)
    pieces = world.client.read_blob(digest, len(expected) - 3, MAX_CALL_BYTES)
    assert b"".join(pieces) == expected[-3:]


def test_a_read_beyond_its_bounds_is_bad_input(world: World) -> None:
    digest, expected = weights_of(world)
    for offset, length in (
        (0, 0),
        (0, MAX_CALL_BYTES + 1),
        (0, 2**64 - 1),
        (len(expected), 1),
        (2**64 - 1, 1),
    ):
        with pytest.raises(BadInput):
            list(world.client.read_blob(digest, offset, length))
    assert MAX_CALL_BYTES == 16 * 1024 * 1024


def test_an_unknown_or_malformed_digest_reads_nothing(world: World) -> None:
    with pytest.raises(NotFound):
        list(world.client.read_blob("0" * 64, 0, 1))
    for digest in ("", "../../registry.db", "A" * 64):
        with pytest.raises(BadInput):
            list(world.client.read_blob(digest, 0, 1))


def test_an_alias_moves_and_its_history_says_from_where(world: World) -> None:
    world.client.set_alias("tiny", "staging", 1)
    assert world.client.version("tiny@staging").version == 1
    event = world.stores.catalogue.alias_history("tiny")[-1]
    assert (event.alias, event.version) == ("staging", 1)
    assert event.by == "rpc ipv4:127.0.0.1"


@pytest.mark.parametrize(
    ("model", "alias", "number", "error"),
    [
        ("tiny", "staging", 0, NotFound),
        ("tiny", "staging", 2, NotFound),
        ("other", "staging", 1, NotFound),
        ("tiny", "3", 1, BadInput),
        ("tiny", "", 1, BadInput),
    ],
)
def test_a_bad_alias_changes_nothing(
    world: World, model: str, alias: str, number: int, error: type[Exception]
) -> None:
    before = world.stores.catalogue.alias_history("tiny")
    with pytest.raises(error):
        world.client.set_alias(model, alias, number)
    assert world.stores.catalogue.alias_history("tiny") == before


def test_a_nodes_report_is_listed_and_its_measurements_are_marked_with_its_id(
    world: World,
) -> None:
    report = world.report()
    world.client.report_node(report)
    (row,) = world.client.nodes()
    marked = replace(report.profiles[0], source="node:node-1")
    assert row.report == replace(report, profiles=(marked,))
    assert row.seen_at.endswith("Z")
    assert marked in world.client.version("tiny").artifacts[0].profiles


def test_a_report_that_is_too_long_or_no_measurement_is_refused_whole(world: World) -> None:
    measured = world.report().profiles[0]
    for changes in (
        {"profiles": tuple(replace(measured, batch=n) for n in range(1, 1000))},
        {"providers": ("p",) * 1000},
        {"artifact_ids": ("0" * 64,) * 1000},
        {"hostname": "h" * 10_000},
        {"node_id": "n" * 1000},
        {"node_id": ""},
        {"node_id": "../x"},
        {"profiles": (replace(measured, p50_ms=float("nan")),)},
        {"profiles": (replace(measured, peak_bytes=2**64 - 1),)},
        {"memory_bytes": 2**64 - 1},
    ):
        with pytest.raises(BadInput):
            world.client.report_node(world.report(**changes))
    assert world.client.nodes() == []


def test_an_empty_report_is_bad_input_and_no_crash(world: World) -> None:
    with open_channel(world.client.target) as channel, pytest.raises(grpc.RpcError) as caught:
        RegistryStub(channel).ReportNode(pb.ReportNodeRequest(), timeout=20)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_health_says_serving_for_the_server_and_the_service(world: World) -> None:
    with open_channel(world.client.target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", REGISTRY_SERVICE):
            reply = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING


def test_what_another_process_publishes_meanwhile_is_served_at_once(
    world: World, tmp_path: Path
) -> None:
    with open_stores(world.config) as other:
        added = store_version(other, tmp_path / "second", seed=9)
        assert world.client.version("tiny:2") == added
    assert world.client.models()[0].newest == 2


def test_a_port_in_use_is_an_environment_fault(world: World) -> None:
    config = replace(world.config, listen=world.client.target)
    with (
        pytest.raises(EnvironmentFault, match="in use"),
        run_server(world.stores, config),
    ):
        pass


def test_a_bind_beyond_loopback_needs_insecure(world: World) -> None:
    config = replace(world.config, listen="0.0.0.0:0")
    with pytest.raises(BadInput, match="--insecure"), run_server(world.stores, config):
        pass
    with run_server(world.stores, replace(config, insecure=True)) as server:
        port = server.address.rpartition(":")[2]
        with RegistryClient(f"127.0.0.1:{port}") as client:
            assert client.version("tiny") == world.version
