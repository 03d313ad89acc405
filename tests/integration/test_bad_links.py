"""Pulls over links that cut, reset, slow down, fall silent or damage what they carry."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_registry import FakeRegistry, serve_registry
from faulty_proxy import Fault, run_proxy
from tiny_artifacts import TinyArtifact, build_artifact, build_version

from rsq.errors import DeadlineExceeded, Exhausted, Interrupted, RsqError, Unreachable
from rsq.providers import CPU_PROVIDER
from rsq.resolve import Device, Request
from rsq.rpc.registry import RegistryClient
from rsq_agent.cache import Cache
from rsq_agent.pulling import transfer
from rsq_agent.pulling.pull import PullPlan, fetch_plan, plan_pull

REQUEST = Request(Device("cpu", (CPU_PROVIDER,)), ("vision",))
SIZE_BYTES = 3_000_000
SILENT = (DeadlineExceeded, Unreachable)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> TinyArtifact:
    folder = tmp_path_factory.mktemp("artifact")
    return build_artifact(folder, "vision", padding_bytes=SIZE_BYTES, chunk_bytes=64 << 10)


@pytest.fixture
def registry(artifact: TinyArtifact) -> FakeRegistry:
    registry = FakeRegistry()
    registry.part_bytes = 16 << 10
    registry.add(build_version([artifact.row()]), [artifact])
    return registry


@pytest.fixture
def address(registry: FakeRegistry) -> Iterator[str]:
    with serve_registry(registry) as address:
        yield address


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "agent")


def _pull(address: str, cache: Cache, *, patience_seconds: float = 20.0, **route: object) -> int:
    with RegistryClient(address) as client:
        plan = plan_pull(client, cache, "tiny", REQUEST)
        return _fetch(client, cache, plan, patience_seconds=patience_seconds, **route)


def _fetch(client: RegistryClient, cache: Cache, plan: PullPlan, **route: object) -> int:
    return fetch_plan(client, cache, plan, on_bytes=lambda n: None, readers=3, **route)  # type: ignore[arg-type]


def _random_faults(seed: int, make: Callable[[int], Fault]) -> Callable[[int], Fault]:
    chance = random.Random(seed)
    return lambda number: make(chance.randrange(20_000, 600_000))


@pytest.mark.parametrize(
    "choose",
    [
        _random_faults(1, lambda at: Fault(cut_at=at)),
        _random_faults(2, lambda at: Fault(reset_at=at)),
        _random_faults(3, lambda at: Fault(flip_at=at)),
        lambda number: Fault(bytes_per_second=2_000_000),
    ],
    ids=["cut", "reset", "damaged", "slow"],
)
def test_a_bad_link_still_brings_the_right_bytes(
    address: str, cache: Cache, artifact: TinyArtifact, choose: Callable[[int], Fault]
) -> None:
    with run_proxy(address, choose) as proxy:
        _pull(proxy.address, cache)
    cache.verify_artifact(artifact.id)


def test_a_link_that_is_cut_again_and_again_still_makes_progress(
    address: str, cache: Cache, artifact: TinyArtifact
) -> None:
    with run_proxy(address, lambda number: Fault(cut_at=200_000)) as proxy:
        _pull(proxy.address, cache)
        assert proxy.connections > 10
        # What had arrived of a chunk was kept, so little crossed the link twice.
        assert proxy.sent_bytes < 2 * SIZE_BYTES
    cache.verify_artifact(artifact.id)


def test_a_silent_link_is_given_up_and_the_next_pull_goes_on(
    address: str, cache: Cache, artifact: TinyArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "CALL_SECONDS", 0.3)
    with (
        run_proxy(address, lambda number: Fault(silent_at=1_000_000)) as proxy,
        pytest.raises(SILENT),
    ):
        _pull(proxy.address, cache, patience_seconds=1.0)
    held = cache.partial_path(artifact.manifest.file("weights").sha256)
    assert held.is_file()
    moved = _pull(address, cache)
    assert moved < SIZE_BYTES - 500_000
    cache.verify_artifact(artifact.id)


def test_a_dead_server_is_reported_within_the_patience(
    cache: Cache, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "CALL_SECONDS", 1.0)
    with RegistryClient(address) as client:
        plan = plan_pull(client, cache, "tiny", REQUEST)
    with run_proxy(address, lambda number: Fault(cut_at=0)) as proxy:
        begun = time.monotonic()
        with RegistryClient(proxy.address) as client, pytest.raises(SILENT):
            _fetch(client, cache, plan, patience_seconds=0.5)
        assert time.monotonic() - begun < 20


def test_a_rate_limit_holds(address: str, cache: Cache, artifact: TinyArtifact) -> None:
    rate = 4 * SIZE_BYTES
    with run_proxy(address, lambda number: Fault()) as proxy:
        begun = time.monotonic()
        _pull(proxy.address, cache, bytes_per_second=rate)
        seconds = time.monotonic() - begun
        # One piece may go before the clock starts.
        assert proxy.sent_bytes / seconds < 2 * rate
    cache.verify_artifact(artifact.id)


def test_mirrors_carry_the_bytes_and_lying_ones_are_left_out(
    address: str, registry: FakeRegistry, cache: Cache, artifact: TinyArtifact
) -> None:
    honest, liar = FakeRegistry(), FakeRegistry()
    for mirror in (honest, liar):
        mirror.add(build_version([artifact.row()]), [artifact])
        mirror.part_bytes = 16 << 10
    liar.flip_next_reads = 10**6
    with (
        serve_registry(honest) as first,
        serve_registry(liar) as second,
        RegistryClient(first) as a,
        RegistryClient(second) as b,
    ):
        _pull(address, cache, mirrors=[a, b])
    cache.verify_artifact(artifact.id)
    assert registry.reads == []
    assert len(liar.reads) <= 3  # one for each reader, then it is not asked again
    assert len(honest.reads) > 40


def test_a_mirror_without_the_blob_or_out_of_reach_costs_nothing_but_a_try(
    address: str, registry: FakeRegistry, cache: Cache, artifact: TinyArtifact
) -> None:
    empty = FakeRegistry()
    with (
        serve_registry(empty) as first,
        RegistryClient(first) as a,
        RegistryClient("127.0.0.1:9") as b,
    ):
        _pull(address, cache, mirrors=[a, b])
    cache.verify_artifact(artifact.id)
    assert len(registry.reads) > 40


def test_a_slow_chunk_is_taken_over_by_an_idle_reader(
    address: str, registry: FakeRegistry, cache: Cache, artifact: TinyArtifact
) -> None:
    registry.hold_first_read_of = (artifact.manifest.file("weights").sha256, 0)
    begun = time.monotonic()
    _pull(address, cache)
    assert time.monotonic() - begun < transfer.CALL_SECONDS  # nobody waited for the held call
    registry.release.set()
    cache.verify_artifact(artifact.id)


def test_stopping_ends_reads_in_flight_and_keeps_what_arrived(
    address: str, registry: FakeRegistry, cache: Cache, artifact: TinyArtifact
) -> None:
    registry.hold_after_reads = 40  # whoever takes a slow chunk over waits too
    failures: list[RsqError] = []

    def pull(client: RegistryClient, plan: PullPlan) -> None:
        try:
            _fetch(client, cache, plan)
        except RsqError as e:
            failures.append(e)

    with RegistryClient(address) as client:
        plan = plan_pull(client, cache, "tiny", REQUEST)
        thread = threading.Thread(target=pull, args=(client, plan))
        thread.start()
        while len(registry.reads) < 41:
            time.sleep(0.01)
        client.cancel_reads()
        thread.join(20)
        assert not thread.is_alive()
    registry.release.set()
    assert [type(failure) for failure in failures] == [Interrupted]


def test_a_disk_that_fills_up_is_named_and_what_arrived_is_kept(
    address: str, cache: Cache, artifact: TinyArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rsq_agent.pulling.partial_file import PartialFile

    write, calls = PartialFile.write, 0

    def fill_up(self: PartialFile, index: int, data: bytes) -> bool:
        nonlocal calls
        calls += 1
        if calls > 20:
            raise OSError(28, "No space left on device")
        return write(self, index, data)

    with monkeypatch.context() as patch:
        patch.setattr(PartialFile, "write", fill_up)
        with pytest.raises(Exhausted, match="disk is full"):
            _pull(address, cache)
    assert _pull(address, cache) <= SIZE_BYTES - 15 * (64 << 10)
    cache.verify_artifact(artifact.id)
