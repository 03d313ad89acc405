from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from fake_models import fake_activation

from rsq.errors import EnvironmentFault, Exhausted, Interrupted, NotFound
from rsq_agent.inference import slots as slots_module
from rsq_agent.inference.live_model import LiveModel
from rsq_agent.inference.slots import SHOWN_LENGTH, Slot, Slots, WouldWait


@pytest.fixture
def sent() -> list[tuple[Slot, Future[None]]]:
    """Loads that were asked for."""
    return []


@pytest.fixture
def slots(sent: list[tuple[Slot, Future[None]]]) -> Slots:
    slots = Slots(lambda slot, arriving: sent.append((slot, arriving)))
    slots.put(Slot(fake_activation()), LiveModel(fake_activation(), {}), make_current=True)
    slots.offer(fake_activation("other"))
    return slots


def test_the_current_model_is_listed_first(slots: Slots) -> None:
    slots.offer(fake_activation("another"))
    assert [served.activation.model for served in slots.list()] == ["demo", "another", "other"]
    assert slots.current == slots.list()[0]
    with pytest.raises(NotFound, match="'ships'; it has another, demo, other"):
        slots.find("ships")
    empty = Slots(lambda slot, arriving: None)
    assert empty.current is None
    with pytest.raises(EnvironmentFault, match="rsq-agent pull"):
        empty.find("demo")


def test_a_model_in_use_is_not_taken_for_idle(slots: Slots) -> None:
    with slots.lease(None, None) as live:
        assert slots.take_out_idle("demo") is None
    assert slots.take_out_idle("demo") is live
    assert slots.take_out_idle("demo") is None


def test_who_waits_too_long_is_told_so(
    slots: Slots, sent: list[tuple[Slot, Future[None]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots_module, "WAIT_SECONDS", 0.01)
    for timeout_seconds in (None, 3600.0):
        with pytest.raises(Exhausted, match="other:1 was not ready within 0 s"):
            slots.lease("other", timeout_seconds).__enter__()
    assert len(sent) == 1  # one load for both


def test_what_a_thread_let_go_elsewhere_no_longer_counts_as_held(slots: Slots) -> None:
    """A stream may be closed by another thread than the one that read it."""
    held = ExitStack()
    held.enter_context(slots.lease("demo", None))
    with pytest.raises(WouldWait):
        slots.lease("other", 0).__enter__()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(held.close).result(20)
    with pytest.raises(Exception, match="deadline passed"):
        slots.lease("other", 0).__enter__()


def test_an_arrival_that_was_overtaken_leaves_the_newer_one_alone(
    slots: Slots, sent: list[tuple[Slot, Future[None]]]
) -> None:
    slot = slots.find("other")
    first, second = slots.begin_arrival(slot), slots.begin_arrival(slot)
    slots.end_arrival(slot, first)
    assert slot.arriving is second
    slots.end_arrival(slot, second, NotFound("It has gone."))
    assert slot.arriving is None
    with pytest.raises(NotFound):
        second.result(0)


def test_a_made_up_name_is_shown_cut(slots: Slots) -> None:
    with pytest.raises(NotFound, match=f"'{'x' * SHOWN_LENGTH}'; it has demo, other"):
        slots.find("x" * 10_000)


def test_after_the_end_nothing_is_put_and_nobody_waits(slots: Slots) -> None:
    slot = slots.find("other")
    arriving = slots.begin_arrival(slot)
    slots.close()
    with pytest.raises(Interrupted):
        arriving.result(0)
    slots.end_arrival(slot, arriving)  # the load comes to its end later
    assert not slots.put(slot, LiveModel(fake_activation("other"), {}), make_current=True)
    assert slot.live is None
    with pytest.raises(Interrupted):
        slots.lease(None, None).__enter__()
