from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from fake_models import PATIENCE_SECONDS, FakeLoader, fake_activation

from rsq.errors import NotFound, ProbeFailed
from rsq_agent.cache import Cache
from rsq_agent.config import AgentConfig
from rsq_agent.inference.activator import Activator
from rsq_agent.inference.live_model import LiveModel
from rsq_agent.inference.serving import Serving
from rsq_agent.meter import Meter
from rsq_agent.state import NodeState, load_state, save_state

# Of one budget, too small for two of them: a swap drains.
FIRST = fake_activation(budget_bytes=150)
SECOND = fake_activation(version=2, budget_bytes=150)
OTHER = fake_activation("other")


@dataclass
class Node:
    activator: Activator
    serving: Serving
    loader: FakeLoader
    cache: Cache
    meter: Meter
    ready: list[bool] = field(default_factory=list)
    told: list[tuple[str, int]] = field(default_factory=list)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    cache, loader, meter = Cache(tmp_path), FakeLoader(), Meter()
    ready: list[bool] = []
    told: list[tuple[str, int]] = []

    def tell(live: LiveModel) -> None:
        told.append((live.activation.model, live.activation.version))

    config = AgentConfig(home=tmp_path, threads=1)
    serving = Serving(cache, config, load=loader, free=lambda on_gpu: None)
    activator = Activator(cache, serving, on_ready=ready.append, on_change=tell, meter=meter)
    yield Node(activator, serving, loader, cache, meter, ready, told)
    serving.close()


def test_what_serves_is_remembered_once_it_serves(node: Node) -> None:
    node.activator.activate(FIRST)
    node.activator.activate(SECOND)
    assert load_state(node.cache) == NodeState().activate(FIRST).activate(SECOND)
    assert (node.activator.active, node.activator.state) == (SECOND, "SERVING")
    assert node.told == [("demo", 1), ("demo", 2)]
    assert node.meter.activations() == {"OK": 2}


def test_what_failed_is_counted_and_not_remembered(node: Node) -> None:
    node.activator.activate(FIRST)
    before = node.cache.state_path.read_bytes()
    node.loader.failures["demo", 2] = ProbeFailed("It is wrong here.")
    with pytest.raises(ProbeFailed):
        node.activator.activate(SECOND)
    assert node.cache.state_path.read_bytes() == before
    assert node.activator.active == FIRST
    assert node.meter.activations() == {"OK": 1, "PROBE_FAILED": 1}
    assert node.told == [("demo", 1)]


def test_health_is_off_while_requests_wait_long_and_on_again(node: Node) -> None:
    node.activator.activate(FIRST)
    gate = node.loader.hold("demo", 2)
    with ThreadPoolExecutor(1) as pool:
        swap = pool.submit(node.activator.activate, SECOND)
        assert node.loader.began["demo", 2].wait(PATIENCE_SECONDS)
        assert node.ready[-1] is False
        gate.set()
        swap.result(PATIENCE_SECONDS)
    assert node.ready == [True, False, True]
    node.activator.activate(replace(FIRST, load_seconds=0.1))  # too short to tell anybody
    assert node.ready == [True, False, True, True]


def test_a_first_load_that_fails_is_not_ready(node: Node) -> None:
    node.loader.failures["demo", 1] = ProbeFailed("It is wrong here.")
    with pytest.raises(ProbeFailed):
        node.activator.start(FIRST)
    assert node.ready == [False]
    assert node.activator.state == "EMPTY"


def test_a_start_loads_one_model_and_offers_the_others(node: Node) -> None:
    assert node.activator.start(FIRST, [OTHER]).activation == FIRST
    assert node.loader.loads == [("demo", 1)]
    assert not node.cache.state_path.exists()
    node.activator.load("other")
    assert node.loader.loads == [("demo", 1), ("other", 1)]
    node.activator.unload("other")
    assert [served.live is not None for served, _ in node.activator.models()] == [True, False]


def test_a_rollback_swaps_back_and_a_second_one_forward(node: Node) -> None:
    node.activator.activate(FIRST)
    with pytest.raises(NotFound, match="nothing to go back to"):
        node.activator.roll_back(None)
    node.activator.activate(SECOND)
    assert node.activator.roll_back(None) == FIRST
    assert [previous for _, previous in node.activator.models()] == [SECOND]
    assert load_state(node.cache).models["demo"].abandoned_version == 2
    assert node.activator.roll_back("demo") == SECOND
    assert node.activator.active == SECOND


def test_a_rollback_of_another_model_leaves_the_default_one(node: Node) -> None:
    for activation in (FIRST, SECOND, OTHER):
        node.activator.activate(activation)
    node.activator.roll_back("demo")
    assert node.activator.active == OTHER
    with node.serving.lease("demo") as live:
        assert live.activation == FIRST


def test_a_rollback_that_fails_keeps_the_version_that_serves(node: Node) -> None:
    save_state(node.cache, NodeState().activate(FIRST).activate(SECOND))
    node.activator.start(SECOND)
    node.loader.failures["demo", 1] = ProbeFailed("It is wrong here.")
    with pytest.raises(ProbeFailed, match="demo:2 was loaded again"):
        node.activator.roll_back(None)
    assert load_state(node.cache).activation(None) == SECOND
    assert node.activator.active == SECOND


def test_two_activations_at_once_end_with_the_one_that_is_remembered(node: Node) -> None:
    node.activator.activate(FIRST)
    start = threading.Barrier(4)

    def activate(version: int) -> None:
        start.wait(PATIENCE_SECONDS)
        node.activator.activate(fake_activation(version=version, budget_bytes=150))

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(activate, version) for version in (2, 3, 4, 5)]:
            future.result(PATIENCE_SECONDS)
    assert load_state(node.cache).activation(None) == node.activator.active
    assert len(node.loader.in_memory) == 1
