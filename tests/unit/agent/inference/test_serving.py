from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fake_models import PATIENCE_SECONDS, FakeLoader, fake_activation

from rsq.errors import (
    DeadlineExceeded,
    EnvironmentFault,
    Exhausted,
    Interrupted,
    NotFound,
    ProbeFailed,
)
from rsq_agent.cache import Cache
from rsq_agent.config import AgentConfig
from rsq_agent.inference import serving as serving_module
from rsq_agent.inference.serving import Serving
from rsq_agent.inference.slots import WouldWait
from rsq_agent.state import Activation

FIRST = fake_activation(budget_bytes=150)
SECOND = fake_activation(version=2, budget_bytes=150)  # the two don't fit together
OTHER = fake_activation("other")


@pytest.fixture
def loader() -> FakeLoader:
    return FakeLoader()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture
def make(tmp_path: Path, loader: FakeLoader) -> Iterator[Callable[..., Serving]]:
    made: list[Serving] = []

    def make(*, vram: int | None = None, free: int = 1 << 40) -> Serving:
        config = AgentConfig(home=tmp_path, threads=1, vram_bytes=vram)
        serving = Serving(Cache(tmp_path), config, load=loader, free=lambda on_gpu: free)
        made.append(serving)
        return serving

    yield make
    for serving in made:
        serving.close()


def _version(serving: Serving, name: str | None = None, **arguments: Any) -> int:
    with serving.lease(name, **arguments) as live:
        return live.activation.version


def _begin(pool: ThreadPoolExecutor, call: Callable[..., Any], *args: Any) -> Future[Any]:
    """The call under way in a thread of its own."""
    under_way = threading.Event()

    def run() -> Any:
        under_way.set()
        return call(*args)

    future = pool.submit(run)
    assert under_way.wait(PATIENCE_SECONDS)
    return future


def _await(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        threading.Event().wait(0.005)
    pytest.fail("It never came to that.")


def test_models_are_leased_by_name_and_the_current_one_without(
    make: Callable[..., Serving],
) -> None:
    serving = make()
    with pytest.raises(EnvironmentFault, match="rsq-agent pull"):
        _version(serving)
    serving.activate(FIRST)
    serving.activate(fake_activation("other", 7))
    assert _version(serving) == _version(serving, "other") == 7
    assert _version(serving, "demo") == 1
    with pytest.raises(NotFound, match="'ships'; it has demo, other"):
        _version(serving, "ships")


def test_both_fit_so_the_old_one_serves_while_the_new_one_loads(
    make: Callable[..., Serving], loader: FakeLoader, pool: ThreadPoolExecutor
) -> None:
    serving = make()
    serving.activate(FIRST)
    new = fake_activation(version=2, budget_bytes=200)  # the larger of the two budgets holds
    assert serving.plan(new).side_by_side
    gate = loader.hold("demo", 2)
    swap = _begin(pool, serving.activate, new)
    assert loader.began["demo", 2].wait(PATIENCE_SECONDS)
    with serving.lease() as held:
        assert held.activation.version == 1
        gate.set()
        _await(lambda: _version(serving) == 2)  # the swap waits for nobody
        assert not swap.done()  # the old one's memory waits for its calls
        assert ("demo", 1) in loader.in_memory
    assert swap.result(PATIENCE_SECONDS).side_by_side
    assert loader.in_memory == [("demo", 2)]


def test_too_large_for_both_so_callers_wait_and_none_fails(
    make: Callable[..., Serving], loader: FakeLoader, pool: ThreadPoolExecutor
) -> None:
    serving = make()
    serving.activate(FIRST)
    plan = serving.plan(SECOND)
    assert (plan.side_by_side, plan.downtime_seconds) == (False, 2.0)
    assert "over the budget of 150 B" in plan.reason
    gate = loader.hold("demo", 2)
    announced: list[float] = []
    with serving.lease() as held:
        swap = pool.submit(serving.activate, SECOND, on_drain=announced.append)
        _await(lambda: serving.model is None)
        callers = [_begin(pool, _version, serving) for _ in range(8)]
        assert held.activation.version == 1
        assert ("demo", 1) in loader.in_memory  # a call in flight keeps its model
        assert not loader.began["demo", 2].is_set()
    assert loader.began["demo", 2].wait(PATIENCE_SECONDS)
    assert not any(caller.done() for caller in callers)
    gate.set()
    assert {caller.result(PATIENCE_SECONDS) for caller in callers} == {2}
    assert not swap.result(PATIENCE_SECONDS).side_by_side
    assert swap.result().downtime_seconds > 0
    assert announced == [2.0]
    assert loader.most_bytes == 100


def test_without_budgets_the_free_memory_decides(make: Callable[..., Serving]) -> None:
    large, larger = (fake_activation(version=v, peak_bytes=1 << 30) for v in (1, 2))
    for free, side_by_side in ((2 << 30, True), (1 << 30, False)):
        serving = make(free=free)
        serving.activate(large)
        assert serving.plan(larger).side_by_side is side_by_side


def test_who_waits_keeps_to_its_own_deadline(
    make: Callable[..., Serving], loader: FakeLoader, pool: ThreadPoolExecutor
) -> None:
    serving = make()
    serving.activate(FIRST)
    gate = loader.hold("demo", 2)
    swap = pool.submit(serving.activate, SECOND)
    assert loader.began["demo", 2].wait(PATIENCE_SECONDS)
    with pytest.raises(DeadlineExceeded, match="demo:1 was being loaded"):
        _version(serving, timeout_seconds=0.01)
    gate.set()
    swap.result(PATIENCE_SECONDS)


@pytest.mark.parametrize("budget_bytes", [150, 200])
def test_a_new_version_that_fails_leaves_the_old_one_serving_and_says_both(
    make: Callable[..., Serving],
    loader: FakeLoader,
    pool: ThreadPoolExecutor,
    budget_bytes: int,
) -> None:
    serving = make()
    serving.activate(FIRST)
    loader.failures["demo", 2] = ProbeFailed("It is wrong here.", metadata={"cosine": "0.1"})
    gate = loader.hold("demo", 2)
    bad = fake_activation(version=2, budget_bytes=budget_bytes)
    swap = pool.submit(serving.activate, bad)
    assert loader.began["demo", 2].wait(PATIENCE_SECONDS)
    caller = _begin(pool, _version, serving)
    gate.set()
    fact = "serves on" if budget_bytes == 200 else "was loaded again"
    with pytest.raises(ProbeFailed, match=f"It is wrong here. demo:1 {fact}.") as caught:
        swap.result(PATIENCE_SECONDS)
    assert caught.value.metadata == {"cosine": "0.1"}
    assert caller.result(PATIENCE_SECONDS) == _version(serving) == 1
    assert loader.in_memory == [("demo", 1)]


def test_when_neither_can_be_loaded_the_error_says_so_and_the_next_call_tries_again(
    make: Callable[..., Serving], loader: FakeLoader, pool: ThreadPoolExecutor
) -> None:
    serving = make()
    serving.activate(FIRST)
    loader.failures["demo", 2] = ProbeFailed("It is wrong here.")
    loader.failures["demo", 1] = EnvironmentFault("The disk is gone.")
    gate = loader.hold("demo", 2)
    swap = pool.submit(serving.activate, SECOND)
    assert loader.began["demo", 2].wait(PATIENCE_SECONDS)
    caller = _begin(pool, _version, serving)
    gate.set()
    for future in (swap, caller):
        with pytest.raises(EnvironmentFault, match=r"disk is gone.*demo:1 had made room.*wrong"):
            future.result(PATIENCE_SECONDS)
    del loader.failures["demo", 1]
    assert _version(serving) == 1


def test_damaged_files_are_found_before_anybody_waits(
    make: Callable[..., Serving], loader: FakeLoader
) -> None:
    serving = make()
    serving.activate(FIRST)
    with pytest.raises(NotFound, match="not on this node"):
        serving.activate(fake_activation(version=2, budget_bytes=150, artifacts=("a" * 64,)))
    assert loader.loads == [("demo", 1)]
    assert serving.model is not None


def test_calls_that_do_not_end_keep_the_old_one_serving(
    make: Callable[..., Serving],
    pool: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving_module, "DRAIN_SECONDS", 0.02)
    serving = make()
    serving.activate(FIRST)
    with serving.lease():
        swap = _begin(pool, serving.activate, SECOND)
        with pytest.raises(Exhausted, match="demo:1 did not end"):
            swap.result(PATIENCE_SECONDS)
        unload = _begin(pool, serving.unload, "demo")
        with pytest.raises(Exhausted, match="demo:1 did not end"):
            unload.result(PATIENCE_SECONDS)
        assert pool.submit(_version, serving).result(PATIENCE_SECONDS) == 1


def test_a_call_that_does_not_end_holds_up_no_swap_when_both_fit(
    make: Callable[..., Serving],
    loader: FakeLoader,
    pool: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving_module, "DRAIN_SECONDS", 0.02)
    serving = make(vram=250)
    serving.activate(fake_activation())
    with serving.lease():
        swap = _begin(pool, serving.activate, fake_activation(version=2))
        assert swap.result(PATIENCE_SECONDS).side_by_side
        # What still has calls is in memory and counts.
        assert not serving.plan(fake_activation(version=3)).side_by_side
    _await(lambda: loader.in_memory == [("demo", 2)])
    assert serving.plan(fake_activation(version=3)).side_by_side


def test_a_model_is_loaded_once_for_all_who_ask_for_it(
    make: Callable[..., Serving], loader: FakeLoader, pool: ThreadPoolExecutor
) -> None:
    serving = make()
    serving.activate(FIRST)
    serving.offer(OTHER)
    gate = loader.hold("other", 1)
    callers = [_begin(pool, _version, serving, "other") for _ in range(8)]
    assert loader.began["other", 1].wait(PATIENCE_SECONDS)
    assert _version(serving) == 1  # others are served meanwhile
    assert [model.is_arriving for model in serving.models()] == [False, True]
    gate.set()
    assert [caller.result(PATIENCE_SECONDS) for caller in callers] == [1] * 8
    assert loader.loads == [("demo", 1), ("other", 1)]


def test_a_load_that_fails_is_told_to_all_who_wait_and_tried_again_by_the_next(
    make: Callable[..., Serving], loader: FakeLoader, pool: ThreadPoolExecutor
) -> None:
    serving = make()
    serving.activate(FIRST)
    serving.offer(OTHER)
    loader.failures["other", 1] = ProbeFailed("It is wrong here.")
    gate = loader.hold("other", 1)
    callers = [_begin(pool, _version, serving, "other") for _ in range(4)]
    assert loader.began["other", 1].wait(PATIENCE_SECONDS)
    gate.set()
    for caller in callers:
        with pytest.raises(ProbeFailed):
            caller.result(PATIENCE_SECONDS)
    del loader.failures["other", 1]
    assert _version(serving, "other") == 1


def test_the_least_recently_used_idle_model_makes_room(
    make: Callable[..., Serving], loader: FakeLoader
) -> None:
    serving = make(vram=200)
    serving.activate(fake_activation("a"))
    for name in ("b", "c"):
        serving.offer(fake_activation(name))
    for name in ("b", "a", "c"):
        _version(serving, name)
    assert sorted(loader.in_memory) == [("a", 1), ("c", 1)]
    assert loader.most_bytes == 200


def test_a_model_in_use_is_never_unloaded_for_another(
    make: Callable[..., Serving], loader: FakeLoader, pool: ThreadPoolExecutor
) -> None:
    serving = make(vram=100)
    serving.activate(FIRST)
    serving.offer(OTHER)
    with serving.lease():
        with pytest.raises(Exhausted, match=r"other:1 can't be loaded now\. 100 B in use"):
            pool.submit(_version, serving, "other").result(PATIENCE_SECONDS)
        assert loader.in_memory == [("demo", 1)]
    assert _version(serving, "other") == 1
    assert loader.in_memory == [("other", 1)]


def test_a_model_activated_beside_another_that_is_in_use_waits_for_its_calls(
    make: Callable[..., Serving], loader: FakeLoader, pool: ThreadPoolExecutor
) -> None:
    serving = make(vram=100)
    serving.activate(FIRST)
    with serving.lease():
        plan = serving.plan(OTHER)
        assert (plan.side_by_side, plan.evict) == (False, ("demo",))
        swap = _begin(pool, serving.activate, OTHER)
        _await(lambda: serving.model is None)
        assert loader.in_memory == [("demo", 1)]
    assert not swap.result(PATIENCE_SECONDS).side_by_side
    assert _version(serving) == 1
    assert loader.in_memory == [("other", 1)]
    assert loader.most_bytes == 100


def test_what_can_never_fit_is_refused_before_anything_is_unloaded(
    make: Callable[..., Serving], loader: FakeLoader
) -> None:
    serving = make(vram=150)
    serving.activate(FIRST)
    for name in ("demo", "other"):
        with pytest.raises(Exhausted, match=f"{name}:9 can't be loaded.*all models together"):
            serving.activate(fake_activation(name, 9, peak_bytes=151))
    assert loader.in_memory == [("demo", 1)]


def test_unused_models_are_unloaded_and_come_back_with_their_next_request(
    make: Callable[..., Serving], loader: FakeLoader
) -> None:
    serving = make()
    serving.activate(FIRST)
    serving.activate(OTHER)
    with serving.lease("demo"):
        assert serving.unload_unused(1000) == []
        assert serving.unload_unused(0) == ["other"]
        assert loader.in_memory == [("demo", 1)]
    serving.unload("demo")
    assert loader.in_memory == []
    assert (_version(serving), _version(serving, "demo")) == (1, 1)


def test_a_thread_that_holds_a_model_never_waits_for_another(
    make: Callable[..., Serving], loader: FakeLoader, pool: ThreadPoolExecutor
) -> None:
    serving = make()
    serving.activate(FIRST)
    held = threading.Event()

    def stream() -> int:
        with serving.lease():
            held.set()
            _await(lambda: serving.model is None)
            with pytest.raises(WouldWait), serving.lease():
                pass
        return _version(serving)

    answer = pool.submit(stream)
    assert held.wait(PATIENCE_SECONDS)
    serving.activate(SECOND)
    assert answer.result(PATIENCE_SECONDS) == 2


def test_closing_while_a_model_is_loaded_turns_callers_away_and_leaves_nothing(
    make: Callable[..., Serving], loader: FakeLoader, pool: ThreadPoolExecutor
) -> None:
    serving = make()
    serving.activate(FIRST)
    serving.offer(OTHER)
    gate = loader.hold("demo", 2)
    swap = pool.submit(serving.activate, SECOND)
    assert loader.began["demo", 2].wait(PATIENCE_SECONDS)
    callers = [_begin(pool, _version, serving, name) for name in (None, "other")]
    _await(lambda: all(model.is_arriving for model in serving.models()))
    closing = _begin(pool, serving.close)
    for caller in callers:
        with pytest.raises(Interrupted, match="shutting down"):
            caller.result(PATIENCE_SECONDS)
    assert not closing.done()
    gate.set()
    with pytest.raises(Interrupted):
        swap.result(PATIENCE_SECONDS)
    closing.result(PATIENCE_SECONDS)
    assert loader.in_memory == []
    assert ("other", 1) not in loader.loads
    with pytest.raises(Interrupted):
        _version(serving)


def test_many_callers_and_swaps_at_once_never_mix_or_lose_a_model(
    make: Callable[..., Serving], loader: FakeLoader, pool: ThreadPoolExecutor
) -> None:
    serving = make(vram=300)
    serving.activate(FIRST)
    serving.offer(OTHER)
    done = threading.Event()

    def call(name: str) -> int:
        count = 0
        while not done.is_set():
            with serving.lease(name) as live:
                key = (live.activation.model, live.activation.version)
                assert key in loader.in_memory
                count += 1
        return count

    callers = [pool.submit(call, name) for name in ("demo", "demo", "other", "other")]
    _await(lambda: len(loader.in_memory) == 2)
    swaps: list[Activation] = [SECOND, fake_activation(version=3, budget_bytes=250), FIRST] * 7
    for number, activation in enumerate(swaps):
        serving.activate(activation)
        if number % 3 == 0:
            serving.unload("other")
    done.set()
    assert all(caller.result(PATIENCE_SECONDS) > 0 for caller in callers)
    serving.unload("demo")
    serving.unload("other")
    assert loader.in_memory == []
    assert loader.most_bytes <= 300
