"""Lifecycle over gRPC, and that a pull in flight outlives the deletion of its version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny_registry import store_version

from rsq.errors import BadInput, NotFound
from rsq.manifest import decode_manifest
from rsq.providers import CPU_PROVIDER
from rsq.resolve import Device, Request
from rsq.rpc.registry import RegistryClient
from rsq_agent.cache import Cache
from rsq_agent.pulling.pull import fetch_plan, plan_pull
from rsq_registry.garbage import collect
from rsq_registry.verification import verify
from rsq_server.app import Stores, open_stores, run_server
from rsq_server.config import ServerConfig

REQUEST = Request(Device("cpu", (CPU_PROVIDER,)))


@dataclass
class World:
    stores: Stores
    client: RegistryClient
    folder: Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    config = ServerConfig(tmp_path / "server", listen="127.0.0.1:0")
    with ExitStack() as stack:
        stores = stack.enter_context(open_stores(config))
        for seed in (1, 2):
            store_version(stores, tmp_path / str(seed), seed=seed, padding_bytes=600_000)
        server = stack.enter_context(run_server(stores, config))
        yield World(stores, stack.enter_context(RegistryClient(server.address)), tmp_path)


def test_every_call_of_the_lifecycle_arrives(world: World) -> None:
    client = world.client
    client.set_alias("tiny", "production", 1)
    client.set_alias("tiny", "production", 2)
    client.remove_alias("tiny", "production")
    events = client.alias_history("tiny")
    assert [(e.alias, e.version) for e in events] == [
        ("production", 1),
        ("production", 2),
        ("production", None),
    ]
    assert all(event.by.startswith("rpc ") for event in events)
    assert events == world.stores.catalogue.alias_history("tiny")
    client.deprecate("tiny", 1, "too old")
    assert client.version("tiny:1").deprecated == "too old"
    client.deprecate("tiny", 1, None)
    assert client.version("tiny:1").deprecated is None
    client.set_alias("tiny", "production", 1)
    with pytest.raises(BadInput, match="production"):
        client.delete_version("tiny", 1)
    client.delete_version("tiny", 2)
    assert client.version("tiny:2").deleted_at is not None
    with pytest.raises(NotFound):
        client.delete_version("tiny", 2)


def test_a_deleted_version_is_not_pulled(world: World) -> None:
    world.client.delete_version("tiny", 1)
    with pytest.raises(NotFound, match="was deleted"):
        plan_pull(world.client, Cache(world.folder / "agent"), "tiny:1", REQUEST)


def test_a_pull_in_flight_ends_well_though_its_version_is_deleted_and_collected(
    world: World,
) -> None:
    cache = Cache(world.folder / "agent")
    plan = plan_pull(world.client, cache, "tiny:1", REQUEST)
    world.client.delete_version("tiny", 1)
    found = collect(world.stores.catalogue, world.stores.blobs, dry_run=False)
    assert found.removed == ()
    assert len(found.leased) > 0
    fetch_plan(world.client, cache, plan, on_bytes=lambda count: None, readers=2)
    for choice in plan.resolution.chosen:
        cache.verify_artifact(choice.id)


def test_a_server_repairs_another(world: World) -> None:
    with open_stores(ServerConfig(world.folder / "second")) as second:
        store_version(second, world.folder / "again", seed=1, padding_bytes=600_000)
        artifact = second.catalogue.version("tiny", 1).artifacts[0].id
        files = decode_manifest(second.catalogue.artifact_manifest(artifact)).files
        weights = max(files, key=lambda entry: entry.size_bytes).sha256
        second.blobs.delete(weights)
        found = verify(second.catalogue, second.blobs, repair=world.client.read_whole_blob)
        assert [(one.digest, one.repaired) for one in found.findings] == [(weights, True)]
        assert verify(second.catalogue, second.blobs).is_clean


@pytest.mark.parametrize("size_bytes", [0, 1, 16 << 20, (16 << 20) + 1])
def test_a_whole_blob_is_read_whatever_its_size(world: World, size_bytes: int) -> None:
    data = bytes(size_bytes)
    digest = world.stores.blobs.put_bytes(data)
    if size_bytes == 0:
        with pytest.raises(BadInput):
            list(world.client.read_whole_blob(digest))
    else:
        assert b"".join(world.client.read_whole_blob(digest)) == data
