from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fake_models import FakeLoader, fake_activation

from rsq.errors import Exhausted
from rsq_agent.cache import Cache
from rsq_agent.inference.live_model import LiveModel
from rsq_agent.inference.room import HEADROOM_BYTES
from rsq_agent.inference.swap_plan import InMemory, Planner

load: Callable[..., LiveModel] = FakeLoader()
NEW = fake_activation(version=2)


def _planner(*, total: int | None = None, free: int | None = None) -> Planner:
    return Planner(
        Cache(Path("/")),
        total_bytes=total,
        free_bytes=lambda on_gpu: free,
        load_seconds=lambda activation: 2.0,
    )


def _live(name: str = "demo", *, budget: int | None = None) -> LiveModel:
    return load(fake_activation(name, budget_bytes=budget))


def _in_memory(*, old: LiveModel | None = None, others: tuple[LiveModel, ...] = ()) -> InMemory:
    return InMemory(old=old, others=others, leaving=())


def test_the_larger_of_two_budgets_holds_for_both_and_none_is_no_limit() -> None:
    for old, new, fits in (
        (150, 200, True),
        (200, 150, True),
        (150, 150, False),
        (150, None, True),
    ):
        loaded = _in_memory(old=_live(budget=old))
        plan = _planner().plan_swap(fake_activation(version=2, budget_bytes=new), loaded)
        assert plan.side_by_side is fits


def test_a_budget_is_about_one_model_and_not_about_its_neighbours() -> None:
    loaded = _in_memory(old=_live(budget=200), others=(_live("other", budget=100),))
    assert _planner().plan_swap(fake_activation(version=2, budget_bytes=200), loaded).side_by_side


def test_a_first_model_is_loaded_whatever_seems_to_be_free() -> None:
    plan = _planner(free=1).plan_swap(NEW, _in_memory())
    assert (plan.side_by_side, plan.downtime_seconds) == (True, 0.0)


def test_little_free_memory_means_a_drain_and_never_a_refusal() -> None:
    for free in (HEADROOM_BYTES + 99, 1):
        plan = _planner(free=free).plan_swap(NEW, _in_memory(old=_live()))
        assert (plan.side_by_side, plan.downtime_seconds) == (False, 2.0)
    assert _planner(free=HEADROOM_BYTES + 100).plan_swap(NEW, _in_memory(old=_live())).side_by_side


def test_models_in_use_go_for_an_activation_but_not_for_a_request() -> None:
    busy = _live("other")
    busy.take()
    planner = _planner(total=150)
    plan = planner.plan_swap(NEW, _in_memory(others=(busy,)))
    assert (plan.side_by_side, plan.evict) == (False, ("other",))
    with pytest.raises(Exhausted, match="demo:2 can't be loaded now"):
        planner.plan_load(NEW, _in_memory(others=(busy,)))
    busy.release()
    assert planner.plan_load(NEW, _in_memory(others=(busy,))) == ("other",)
    assert planner.plan_swap(NEW, _in_memory(others=(busy,))).side_by_side


def test_what_was_replaced_counts_until_its_calls_end() -> None:
    planner = _planner(total=250)
    loaded = InMemory(old=_live(), others=(), leaving=(_live(),))
    assert not planner.plan_swap(NEW, loaded).side_by_side
    assert planner.plan_swap(NEW, _in_memory(old=_live())).side_by_side


def test_what_never_fits_is_refused() -> None:
    with pytest.raises(Exhausted, match=r"demo:2 can't be loaded.*all models together"):
        _planner(total=99).plan_swap(NEW, _in_memory(old=_live()))
