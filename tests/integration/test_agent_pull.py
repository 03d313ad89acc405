"""Plan, fetch, prove and serve against a real gRPC registry with tiny real artifacts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_registry import FakeRegistry, serve_registry
from tiny_artifacts import TinyArtifact, build_artifact, build_version

from rsq.errors import Exhausted, IntegrityError, NotFound, NothingFits, ProbeFailed
from rsq.prediction import SHARED_BYTES
from rsq.providers import CPU_PROVIDER
from rsq.resolve import Device, Request
from rsq.rpc import patience
from rsq.rpc.registry import RegistryClient
from rsq_agent.cache import Cache
from rsq_agent.config import AgentConfig
from rsq_agent.inference.loading import load_model
from rsq_agent.inference.serving import Serving
from rsq_agent.pulling import pull as pull_module
from rsq_agent.pulling.pull import check_budget, fetch_plan, plan_pull, prove, to_activation
from rsq_agent.state import Activation

REQUEST = Request(Device("cpu", (CPU_PROVIDER,)), budget_bytes=10_000_000)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TinyArtifact]:
    folder = tmp_path_factory.mktemp("artifacts")
    return {
        "vision": build_artifact(folder / "v", "vision", padding_bytes=100_000),
        "text": build_artifact(folder / "t", "text"),
        "broken": build_artifact(folder / "b", "text", "int8", broken_probe=True),
    }


@pytest.fixture
def registry(artifacts: dict[str, TinyArtifact]) -> FakeRegistry:
    registry = FakeRegistry()
    pair = [artifacts["vision"], artifacts["text"]]
    registry.add(build_version([artifact.row() for artifact in pair]), pair)
    broken = [artifacts["vision"], artifacts["broken"]]
    version = build_version([artifact.row() for artifact in broken], model="broken")
    registry.add(version, broken)
    return registry


@pytest.fixture
def client(registry: FakeRegistry) -> Iterator[RegistryClient]:
    with serve_registry(registry) as address, RegistryClient(address) as client:
        yield client


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "agent")


def _config(cache: Cache) -> AgentConfig:
    return AgentConfig(home=cache.home, threads=1)


def _pull(client: RegistryClient, cache: Cache, name: str = "tiny") -> tuple[Activation, int]:
    plan = plan_pull(client, cache, name, REQUEST)
    moved = fetch_plan(client, cache, plan, readers=3, on_bytes=lambda count: None)
    return to_activation(plan, REQUEST), moved


def test_the_plan_names_every_byte_before_anything_moves(
    client: RegistryClient, registry: FakeRegistry, cache: Cache
) -> None:
    plan = plan_pull(client, cache, "tiny", REQUEST)
    assert registry.reads == []
    files = {e.sha256: e.size_bytes for m in plan.manifests.values() for e in m.files}
    assert plan.bytes_to_fetch == sum(files.values())
    assert plan.bytes_reused == 0
    shown = plan.to_json()
    assert {choice["tower"] for choice in shown["chosen"]} == {"vision", "text"}
    assert all(c["reason"] == "FITS" for c in shown["candidates"])


def test_a_pull_brings_verified_files_and_the_next_one_moves_nothing(
    client: RegistryClient, cache: Cache, artifacts: dict[str, TinyArtifact]
) -> None:
    activation, moved = _pull(client, cache)
    for artifact_id in activation.artifacts:
        cache.verify_artifact(artifact_id)
    assert moved == sum(
        e.size_bytes for name in ("vision", "text") for e in artifacts[name].manifest.files
    )
    plan = plan_pull(client, cache, "tiny", REQUEST)
    assert (plan.bytes_to_fetch, plan.bytes_reused) == (0, moved)
    assert _pull(client, cache)[1] == 0
    assert not list((cache.home / "partial").glob("*.chunks"))


def test_a_flipped_bit_costs_its_chunk_only(
    client: RegistryClient, registry: FakeRegistry, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "BACKOFF_SECONDS", 0.001)
    registry.flip_next_reads = 3
    activation, _ = _pull(client, cache)
    for artifact_id in activation.artifacts:
        cache.verify_artifact(artifact_id)
    chunks = {
        (entry.sha256, index)
        for artifact_id in activation.artifacts
        for entry in cache.manifest(artifact_id).files
        for index in range(len(entry.chunks))
    }
    assert len(registry.reads) == len(chunks) + 3


def test_a_server_that_keeps_lying_is_reported_and_nothing_is_visible(
    client: RegistryClient, registry: FakeRegistry, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "BACKOFF_SECONDS", 0.001)
    registry.flip_next_reads = 10**6
    with pytest.raises(IntegrityError, match="does not match its digest"):
        _pull(client, cache)
    assert not list(cache.home.glob("blobs/**/*.*"))
    assert not any(path.is_file() for path in (cache.home / "blobs").rglob("*"))


def test_an_interrupted_pull_goes_on_where_it_stopped(
    client: RegistryClient, registry: FakeRegistry, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "BACKOFF_SECONDS", 0.001)
    registry.fail_after_reads = 10
    with pytest.raises(IntegrityError):
        _pull(client, cache)
    registry.fail_after_reads = None
    before = set(registry.reads)
    registry.reads.clear()
    activation, _ = _pull(client, cache)
    assert not before & set(registry.reads)  # nothing that arrived was asked for again
    for artifact_id in activation.artifacts:
        cache.verify_artifact(artifact_id)


def test_a_partial_file_damaged_on_disk_is_fetched_again_where_it_is_wrong(
    client: RegistryClient,
    registry: FakeRegistry,
    cache: Cache,
    artifacts: dict[str, TinyArtifact],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "BACKOFF_SECONDS", 0.001)
    registry.fail_after_reads = 15
    with pytest.raises(IntegrityError):
        _pull(client, cache)
    registry.fail_after_reads = None
    weights = artifacts["vision"].manifest.file("weights")
    partial = cache.partial_path(weights.sha256)
    if not partial.exists():
        pytest.fail("The weights were to be in flight when the server failed.")
    partial.write_bytes(bytes(weights.size_bytes))  # a power cut lost the data, not the bitmap
    activation, _ = _pull(client, cache)
    for artifact_id in activation.artifacts:
        cache.verify_artifact(artifact_id)


def test_two_pulls_at_once_move_each_byte_once(
    client: RegistryClient, registry: FakeRegistry, cache: Cache
) -> None:
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.append(_pull(client, cache)[1])) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry.reads) == len(set(registry.reads))
    assert len(results) == 2


def test_a_full_disk_is_said_before_the_first_byte(
    client: RegistryClient, registry: FakeRegistry, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull_module, "DISK_HEADROOM_BYTES", 1 << 60)
    with pytest.raises(Exhausted, match="disk"):
        _pull(client, cache)
    assert registry.reads == []


def test_an_unknown_model_and_a_small_budget_are_named(
    client: RegistryClient, cache: Cache
) -> None:
    with pytest.raises(NotFound):
        plan_pull(client, cache, "nobody", REQUEST)
    with pytest.raises(NothingFits):
        plan_pull(client, cache, "tiny", Request(REQUEST.device, budget_bytes=1))


def test_proving_measures_on_this_device_and_refuses_a_broken_artifact(
    client: RegistryClient, cache: Cache
) -> None:
    for name in ("tiny", "broken"):
        _pull(client, cache, name)
    plan = plan_pull(client, cache, "tiny", REQUEST)
    profiles = [
        p
        for choice in plan.resolution.chosen
        for p in prove(
            cache, choice, device=REQUEST.device, batches=(1, 8), threads=1, source="node:n"
        )
    ]
    assert [(p.batch, p.source, p.device) for p in profiles] == [
        (1, "node:n", "cpu"),
        (8, "node:n", "cpu"),
    ] * 2
    with pytest.raises(NothingFits, match="Measured on this node"):
        check_budget(plan, profiles, Request(REQUEST.device, budget_bytes=1))
    apart = sum(
        max(p.peak_bytes for p in profiles if p.artifact_id == choice.id)
        for choice in plan.resolution.chosen
    )
    together = apart - SHARED_BYTES
    check_budget(plan, profiles, Request(REQUEST.device, budget_bytes=together))
    with pytest.raises(NothingFits, match="Measured on this node"):
        check_budget(plan, profiles, Request(REQUEST.device, budget_bytes=together - 1))
    broken = plan_pull(client, cache, "broken", REQUEST).resolution.chosen[1]
    with pytest.raises(ProbeFailed):
        prove(cache, broken, device=REQUEST.device, batches=(1,), threads=1, source="node:n")


def test_a_failed_activation_keeps_the_old_model_serving(
    client: RegistryClient, cache: Cache
) -> None:
    good, _ = _pull(client, cache)
    bad, _ = _pull(client, cache, "broken")
    serving = Serving(cache, _config(cache))
    serving.activate(good)
    with pytest.raises(ProbeFailed):
        serving.activate(bad)
    with serving.lease() as model:
        assert model.activation == good
        rows = model.tower("text").batcher.embed(np.ones((1, 8), np.int64)).rows
    assert rows.shape == (1, 16)
    serving.close()


def test_a_swap_waits_for_the_calls_in_flight(client: RegistryClient, cache: Cache) -> None:
    good, _ = _pull(client, cache)
    serving = Serving(cache, _config(cache))
    serving.activate(good)
    swapped = threading.Event()

    def swap() -> None:
        serving.activate(good)
        swapped.set()

    with serving.lease() as old:
        thread = threading.Thread(target=swap)
        thread.start()
        while serving.model is old:
            pass
        assert not swapped.wait(0.05)
        assert old.tower("text").batcher.embed(np.ones((1, 8), np.int64)).rows.shape == (1, 16)
    thread.join(20)
    assert swapped.is_set()
    assert old.towers == {}
    serving.close()


def test_towers_of_two_spaces_never_serve_together(
    client: RegistryClient, cache: Cache, registry: FakeRegistry, tmp_path: Path
) -> None:
    other = build_artifact(tmp_path / "other", "text", space_id="7" * 64)
    good, _ = _pull(client, cache)
    registry.add(build_version([other.row()], model="other"), [other])
    request = Request(REQUEST.device, towers=("text",))
    plan = plan_pull(client, cache, "other", request)
    fetch_plan(client, cache, plan, readers=1, on_bytes=lambda count: None)
    vision = next(i for i in good.artifacts if cache.manifest(i).tower == "vision")
    mixed = Activation("mixed", 1, (vision, other.id), (CPU_PROVIDER,) * 2, 8)
    with pytest.raises(IntegrityError, match="spaces"):
        load_model(cache, mixed, _config(cache))
