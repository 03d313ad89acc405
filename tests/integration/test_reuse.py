"""A pull moves only what the node lacks, whether versions share it or a file was damaged."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_registry import FakeRegistry, serve_registry
from tiny_artifacts import CHUNK_BYTES, TinyArtifact, build_artifact, build_version

from rsq.chunks import describe_file
from rsq.manifest import artifact_id, encode_manifest
from rsq.providers import CPU_PROVIDER
from rsq.resolve import Device, Request
from rsq.rpc.registry import RegistryClient
from rsq_agent.cache import Cache
from rsq_agent.pulling.pull import fetch_plan, plan_pull

REQUEST = Request(Device("cpu", (CPU_PROVIDER,)), ("vision",))
CHANGED = (3 * CHUNK_BYTES + 17, 20 * CHUNK_BYTES)  # positions in the weights


@pytest.fixture
def versions(tmp_path: Path) -> tuple[TinyArtifact, TinyArtifact]:
    """Two artifacts whose weights differ in two chunks."""
    first = build_artifact(tmp_path / "first", "vision", padding_bytes=200_000)
    folder = tmp_path / "second"
    shutil.copytree(first.folder, folder)
    path = folder / "model.onnx.data"
    data = bytearray(path.read_bytes())
    for position in CHANGED:
        data[position] ^= 1
    path.write_bytes(data)
    entries = tuple(
        describe_file(folder / e.name, role=e.role, name=e.name, chunk_bytes=e.chunk_bytes)
        for e in first.manifest.files
    )
    manifest = replace(first.manifest, files=entries)
    data_bytes = encode_manifest(manifest)
    return first, TinyArtifact(artifact_id(data_bytes), manifest, data_bytes, folder)


@pytest.fixture
def registry(versions: tuple[TinyArtifact, TinyArtifact]) -> FakeRegistry:
    registry = FakeRegistry()
    for name, artifact in zip(("first", "second"), versions, strict=True):
        registry.add(build_version([artifact.row()], model=name), [artifact])
    return registry


@pytest.fixture
def client(registry: FakeRegistry) -> Iterator[RegistryClient]:
    with serve_registry(registry) as address, RegistryClient(address) as client:
        yield client


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "agent")


def _pull(client: RegistryClient, cache: Cache, name: str) -> tuple[int, int, int]:
    """(planned, reused, moved) bytes."""
    plan = plan_pull(client, cache, name, REQUEST)
    moved = fetch_plan(client, cache, plan, on_bytes=lambda count: None, readers=2)
    return plan.bytes_to_fetch, plan.bytes_reused, moved


def test_a_new_version_moves_only_the_chunks_that_changed(
    client: RegistryClient, cache: Cache, versions: tuple[TinyArtifact, TinyArtifact]
) -> None:
    _pull(client, cache, "first")
    planned, reused, moved = _pull(client, cache, "second")
    assert planned == moved == 2 * CHUNK_BYTES
    assert planned + reused == sum(entry.size_bytes for entry in versions[1].manifest.files)
    for artifact in versions:
        cache.verify_artifact(artifact.id)


def test_a_file_damaged_on_the_node_is_healed_by_the_chunks_that_are_wrong(
    client: RegistryClient, cache: Cache, versions: tuple[TinyArtifact, TinyArtifact]
) -> None:
    _pull(client, cache, "first")
    folder = cache.artifact_folder(versions[0].id)
    path = cache.blob_path(versions[0].manifest.file("weights").sha256)
    data = bytearray(path.read_bytes())
    data[5 * CHUNK_BYTES] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    planned, _, moved = _pull(client, cache, "first")
    # The plan trusts what other files claim to hold; only reading them shows the damage.
    assert planned <= moved == CHUNK_BYTES
    cache.verify_artifact(versions[0].id)
    healed = cache.artifact_folder(versions[0].id) / "model.onnx.data"
    assert healed.read_bytes() == (versions[0].folder / "model.onnx.data").read_bytes()
    assert folder == healed.parent


def test_a_damaged_donor_costs_its_bad_chunks_only(
    client: RegistryClient, cache: Cache, versions: tuple[TinyArtifact, TinyArtifact]
) -> None:
    _pull(client, cache, "first")
    donor = cache.blob_path(versions[0].manifest.file("weights").sha256)
    data = bytearray(donor.read_bytes())
    data[30 * CHUNK_BYTES] ^= 1
    donor.chmod(0o644)
    donor.write_bytes(data)
    assert _pull(client, cache, "second")[2] == 3 * CHUNK_BYTES
    cache.verify_artifact(versions[1].id)
