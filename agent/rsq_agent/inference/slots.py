"""Which models are in memory, and who uses them.

One lock, never held across a load or a wait. A caller joins a model under it alone, so whoever
takes a model out of its slot knows that nobody joins it any more.

A thread that already holds a model never waits for another: a drain would wait for that thread.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

from rsq.errors import DeadlineExceeded, EnvironmentFault, Exhausted, Interrupted, NotFound
from rsq_agent.inference.live_model import LiveModel
from rsq_agent.state import Activation

WAIT_SECONDS = 120.0  # at most, for a model that is on its way
SHOWN_LENGTH = 80  # of a name that a caller made up, in characters


class WouldWait(Exhausted):
    """The thread holds a model and would have to wait for one; it lets go first and tries again."""


@dataclass(frozen=True)
class Served:
    """A model that requests may name; `live` while it is in memory."""

    activation: Activation
    live: LiveModel | None
    is_arriving: bool


@dataclass
class Slot:
    """Of one model name. While `live` is None callers wait for `arriving`."""

    activation: Activation
    live: LiveModel | None = None
    arriving: Future[None] | None = None


class Slots:
    """By model name. Methods may be called from any thread."""

    def __init__(self, send_for: Callable[[Slot, Future[None]], object]) -> None:
        """`send_for` starts a load and returns at once; `end_arrival` ends what it starts."""
        self._send_for = send_for
        self._slots: dict[str, Slot] = {}
        self._current: str | None = None
        self._held: Counter[int] = Counter()  # leases by thread
        self._closed = False
        self._lock = threading.Lock()

    @property
    def current(self) -> Served | None:
        """What answers requests that name none."""
        return next(iter(self.list()), None) if self._current is not None else None

    def list(self) -> list[Served]:
        """By name, the current one first."""
        with self._lock:
            names = sorted(self._slots, key=lambda name: (name != self._current, name))
            slots = [self._slots[name] for name in names]
            return [Served(s.activation, s.live, s.arriving is not None) for s in slots]

    def find(self, name: str) -> Slot:
        """Raises NotFound, or EnvironmentFault when nothing is served."""
        with self._lock:
            return self._find(name)

    def offer(self, activation: Activation) -> Slot:
        """The slot of that name; made without a model if there is none."""
        with self._lock:
            return self._slots.setdefault(activation.model, Slot(activation))

    @contextmanager
    def lease(self, name: str | None, timeout_seconds: float | None) -> Iterator[LiveModel]:
        """As `Serving.lease`."""
        live, holder = self._join(name, timeout_seconds), threading.get_ident()
        try:
            yield live
        finally:
            with self._lock:
                self._held[holder] -= 1
                if not self._held[holder]:
                    del self._held[holder]
            live.release()

    def put(self, slot: Slot, live: LiveModel, *, make_current: bool) -> bool:
        """From now on callers get `live`. False, and nothing changed, after `close`."""
        with self._lock:
            if not self._closed:
                slot.live, slot.activation = live, live.activation
                self._slots[live.activation.model] = slot
                if make_current or self._current is None:
                    self._current = live.activation.model
            return not self._closed

    def take_out(self, slot: Slot) -> LiveModel | None:
        """From now on nobody joins the slot's model, which is returned."""
        with self._lock:
            live, slot.live = slot.live, None
            return live

    def take_out_idle(self, name: str) -> LiveModel | None:
        """As `take_out`, or None and nothing changed when a call uses it."""
        with self._lock:
            slot = self._slots[name]
            live = slot.live
            if live is None or not live.is_idle:
                return None
            slot.live = None
            return live

    def begin_arrival(self, slot: Slot) -> Future[None]:
        """Who comes while the slot is empty waits for what is returned, until `end_arrival`."""
        with self._lock:
            slot.arriving = Future()
            return slot.arriving

    def end_arrival(
        self, slot: Slot, arriving: Future[None], error: BaseException | None = None
    ) -> None:
        """Wakes who waits; with `error` each of them raises it."""
        with self._lock:
            self._end_arrival(slot, arriving, error)

    def close(self) -> None:
        """Turns everybody away who waits or comes."""
        with self._lock:
            self._closed = True
            for slot in self._slots.values():
                if slot.arriving is not None:
                    self._end_arrival(slot, slot.arriving, shutting_down())

    def require_open(self) -> None:
        if self._closed:
            raise shutting_down()

    def _join(self, name: str | None, timeout_seconds: float | None) -> LiveModel:
        patience = WAIT_SECONDS if timeout_seconds is None else min(timeout_seconds, WAIT_SECONDS)
        until = time.monotonic() + patience
        holder = threading.get_ident()
        while True:
            with self._lock:
                self.require_open()
                slot = self._find(name)
                if slot.live is not None:
                    slot.live.take()
                    self._held[holder] += 1
                    return slot.live
                what = title(slot.activation)
                if holder in self._held:
                    raise WouldWait(f"{what} is being loaded; try again in a moment.")
                if slot.arriving is None:
                    slot.arriving = Future()  # one load for all who wait
                    self._send_for(slot, slot.arriving)
                arriving = slot.arriving
            try:
                arriving.result(max(until - time.monotonic(), 0))
            except TimeoutError as e:
                if timeout_seconds is not None and timeout_seconds <= WAIT_SECONDS:
                    raise DeadlineExceeded(
                        f"The deadline passed while {what} was being loaded."
                    ) from e
                raise Exhausted(
                    f"{what} was not ready within {WAIT_SECONDS:.0f} s; try again later."
                ) from e

    def _find(self, name: str | None) -> Slot:
        if self._current is None:
            raise EnvironmentFault("This agent serves nothing yet; run: rsq-agent pull NAME")
        slot = self._slots.get(name or self._current)
        if slot is None:
            there = ", ".join(sorted(self._slots))
            raise NotFound(
                f"This agent doesn't serve {str(name)[:SHOWN_LENGTH]!r}; it has {there}."
            )
        return slot

    def _end_arrival(self, slot: Slot, arriving: Future[None], error: BaseException | None) -> None:
        if slot.arriving is arriving:
            slot.arriving = None
        if arriving.done():
            return
        if error is not None:
            arriving.set_exception(error)
        else:
            arriving.set_result(None)


def title(activation: Activation) -> str:
    """NAME:VERSION; an older version that is offered beside the newer one is named so already."""
    if ":" in activation.model:
        return activation.model
    return f"{activation.model}:{activation.version}"


def shutting_down() -> Interrupted:
    return Interrupted("The agent is shutting down.")
