"""The models that serve, and their replacement without a gap.

`_loads` is held for the whole of a load, a swap or an unload, so there is one at a time and memory
is decided upon once; the lock of the slots is taken inside it, never the other way round.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from rsq.errors import Exhausted, RsqError
from rsq_agent.cache import Cache
from rsq_agent.config import AgentConfig
from rsq_agent.inference.live_model import LiveModel
from rsq_agent.inference.load_times import LoadTimes
from rsq_agent.inference.loading import load_model
from rsq_agent.inference.slots import Served, Slot, Slots, shutting_down, title
from rsq_agent.inference.swap_plan import InMemory, Planner, SwapPlan
from rsq_agent.meter import Meter
from rsq_agent.node.free_memory import free_bytes, return_memory
from rsq_agent.state import Activation

DRAIN_SECONDS = 30.0  # for calls in flight, before a swap is given up


@dataclass(frozen=True)
class Swap:
    """What a swap was; requests waited for `downtime_seconds`."""

    side_by_side: bool
    downtime_seconds: float


class Serving:
    """Holds the live models. A call leases one for its whole length, so a swap never mixes two."""

    def __init__(
        self,
        cache: Cache,
        config: AgentConfig,
        *,
        meter: Meter | None = None,
        load: Callable[[Activation], LiveModel] | None = None,
        free: Callable[..., int | None] = free_bytes,
    ) -> None:
        """`load` and `free` are how a model is loaded and how free memory is found."""
        self._cache = cache
        self._load = load or (lambda active: load_model(cache, active, config, meter))
        self._load_times = LoadTimes(cache, threads=config.threads)
        self._planner = Planner(
            cache,
            total_bytes=config.vram_bytes,
            free_bytes=free,
            load_seconds=self._load_times.expect,
        )
        self._slots = Slots(lambda slot, arriving: self._loader.submit(self._fetch, slot, arriving))
        self._leaving: list[LiveModel] = []  # replaced, with calls in flight
        self._loads = threading.Lock()
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="loader")

    @property
    def model(self) -> LiveModel | None:
        """What answers requests that name none, if it is in memory."""
        current = self._slots.current
        return current.live if current is not None else None

    @property
    def current(self) -> Activation | None:
        """What answers requests that name none, in memory or not."""
        current = self._slots.current
        return current.activation if current is not None else None

    def models(self) -> list[Served]:
        """By name, the current one first."""
        return self._slots.list()

    @contextmanager
    def lease(
        self, model: str | None = None, *, timeout_seconds: float | None = None
    ) -> Iterator[LiveModel]:
        """The model of that name, or the current one, kept in memory inside the block. One that is
        being replaced is waited for; one that is not in memory is loaded, once for all who ask.

        Raises NotFound for a name that isn't served, EnvironmentFault when nothing is,
        DeadlineExceeded after `timeout_seconds`, Exhausted when there is no room or it takes too
        long, WouldWait where the thread holds another lease, and what the load raises.
        """
        with self._slots.lease(model, timeout_seconds) as live:
            yield live

    def offer(self, activation: Activation) -> None:
        """Makes a model known without loading it: its first request does."""
        self._slots.offer(activation)

    def plan(self, activation: Activation) -> SwapPlan:
        """What `activate` would do now. Raises Exhausted when it could not."""
        return self._planner.plan_swap(activation, self._in_memory(activation.model))

    def activate(
        self,
        activation: Activation,
        *,
        make_current: bool = True,
        on_drain: Callable[[float], None] = lambda seconds: None,
    ) -> Swap:
        """Replaces the model of that name.

        1. Decide whether the new one fits beside the old one; idle models of other names go where
        that makes the room. 2. If so, load and prove the new one, swap, unload the old one. 3. If
        not, verify the new files, let the old one's calls end, unload it, load the new one.
        Requests wait meanwhile; `on_drain` hears the expected seconds first.

        On any error the old one serves on, or is loaded again, and the error says so.
        """
        with self._loads:
            swap, replaced = self._swap(activation, make_current, on_drain)
        if replaced is not None:
            self._let_go(replaced)
        return swap

    def unload(self, name: str) -> None:
        """Lets the model's memory go once its calls have ended; its next request loads it again.
        Raises NotFound, and Exhausted when its calls don't end."""
        with self._loads:
            self._drain(self._slots.find(name))

    def unload_unused(self, seconds: float) -> list[str]:
        """Unloads what no call has used for so long, and returns the names."""
        with self._loads:
            before = time.monotonic() - seconds
            live = [served.live for served in self.models() if served.live is not None]
            unused = [model.activation.model for model in live if model.last_used <= before]
            return [name for name in unused if self._unload_idle(name)]

    def close(self) -> None:
        """Turns waiting callers away, waits for a load that is under way, then unloads all."""
        self._slots.close()
        self._loader.shutdown(cancel_futures=True)
        with self._loads:
            for served in self.models():
                live = self._slots.take_out(self._slots.offer(served.activation))
                if live is not None:
                    live.wait_until_idle(DRAIN_SECONDS)
                    live.unload()
            return_memory()

    def _let_go(self, replaced: LiveModel) -> None:
        """Unloads it. A call that doesn't end keeps its memory, and holds up nobody for longer."""
        if replaced.wait_until_idle(DRAIN_SECONDS):
            self._see_off(replaced)
        else:
            threading.Thread(target=self._see_off, args=(replaced,), daemon=True).start()

    def _see_off(self, replaced: LiveModel) -> None:
        replaced.wait_until_idle()
        replaced.unload()
        self._leaving.remove(replaced)
        return_memory()

    def _fetch(self, slot: Slot, arriving: Future[None]) -> None:
        """In the loader's thread, for callers who wait for `arriving`."""
        error: BaseException | None = None
        try:
            with self._loads:
                self._slots.require_open()
                if slot.live is None:
                    self._load_on_demand(slot)
        except BaseException as e:  # noqa: BLE001 - handed to the callers, who wait for it
            error = e
        self._slots.end_arrival(slot, arriving, error)

    # All that follows is called under `_loads`.

    def _load_model(self, activation: Activation) -> LiveModel:
        with self._load_times.timing(activation):
            return self._load(activation)

    def _swap(
        self, activation: Activation, make_current: bool, on_drain: Callable[[float], None]
    ) -> tuple[Swap, LiveModel | None]:
        """Returns what was replaced, too, where that is still in memory."""
        self._slots.require_open()
        # 1. Is there room for both?
        plan = self._make_room(activation)
        slot = self._slot(activation)
        old = slot.live
        if plan.side_by_side:
            # 2. Yes.
            self._put(slot, self._load_beside(activation, old), make_current=make_current)
            if old is not None:
                self._leaving.append(old)
            return Swap(side_by_side=True, downtime_seconds=0.0), old
        # 3. No: find damaged files before anybody waits for them.
        for artifact_id in activation.artifacts:
            self._cache.verify_artifact(artifact_id)
        on_drain(plan.downtime_seconds)
        started = time.perf_counter()
        for name in plan.evict:
            self._drain(self._slots.find(name))
        if old is not None:
            self._replace_drained(slot, activation, make_current=make_current)
        else:
            self._put(slot, self._load_model(activation), make_current=make_current)
        return Swap(False, time.perf_counter() - started), None

    def _load_on_demand(self, slot: Slot) -> None:
        activation = slot.activation
        while not all(
            self._unload_idle(name)
            for name in self._planner.plan_load(activation, self._in_memory(activation.model))
        ):
            pass  # a call came for one of them; plan anew
        self._put(slot, self._load_model(activation), make_current=False)

    def _make_room(self, activation: Activation) -> SwapPlan:
        """Idle models are gone where that lets both be in memory."""
        while True:
            plan = self.plan(activation)
            if not plan.side_by_side or all(self._unload_idle(name) for name in plan.evict):
                return plan

    def _load_beside(self, activation: Activation, old: LiveModel | None) -> LiveModel:
        try:
            return self._load_model(activation)
        except RsqError as e:
            if old is None:
                raise
            raise _adding(e, f"{title(old.activation)} serves on.") from e

    def _replace_drained(self, slot: Slot, activation: Activation, *, make_current: bool) -> None:
        """Callers wait from here until one of the two is in memory."""
        arriving = self._slots.begin_arrival(slot)
        error: BaseException | None = None
        old = slot.activation
        try:
            self._drain(slot)
            try:
                fresh = self._load_model(activation)
            except Exception as e:
                return_memory()
                self._load_again(slot, e)
                if isinstance(e, RsqError):
                    raise _adding(e, f"{title(old)} was loaded again.") from e
                raise
            self._put(slot, fresh, make_current=make_current)
        except BaseException as e:
            error = e if slot.live is None else None  # the old one serves who waited
            raise
        finally:
            self._slots.end_arrival(slot, arriving, error)

    def _load_again(self, slot: Slot, cause: Exception) -> None:
        self._slots.require_open()
        try:
            self._put(slot, self._load_model(slot.activation), make_current=False)
        except RsqError as e:
            why = cause.message if isinstance(cause, RsqError) else str(cause)
            name = title(slot.activation)
            raise _adding(e, f"{name} had made room for a version that failed: {why}") from cause

    def _put(self, slot: Slot, fresh: LiveModel, *, make_current: bool) -> None:
        if not self._slots.put(slot, fresh, make_current=make_current):
            fresh.unload()
            raise shutting_down()

    def _drain(self, slot: Slot) -> None:
        """Unloads once the calls in flight have ended; Exhausted, and nothing changed, when they
        don't."""
        live = self._slots.take_out(slot)
        if live is None:
            return
        if not live.wait_until_idle(DRAIN_SECONDS):
            self._put(slot, live, make_current=False)
            raise Exhausted(
                f"Calls to {title(live.activation)} did not end within {DRAIN_SECONDS:.0f} s; it "
                "serves on. Try again."
            )
        live.unload()
        return_memory()

    def _unload_idle(self, name: str) -> bool:
        """False, and nothing changed, when a call uses it."""
        live = self._slots.take_out_idle(name)
        if live is None:
            return False
        live.unload()
        return_memory()
        return True

    def _slot(self, activation: Activation) -> Slot:
        """The slot of that name, or one that nobody sees until a model is put in it."""
        try:
            return self._slots.find(activation.model)
        except RsqError:
            return Slot(activation)

    def _in_memory(self, name: str) -> InMemory:
        live = [served.live for served in self.models() if served.live is not None]
        return InMemory(
            old=next((model for model in live if model.activation.model == name), None),
            others=[model for model in live if model.activation.model != name],
            leaving=list(self._leaving),
        )


def _adding(error: RsqError, fact: str) -> RsqError:
    return type(error)(f"{error.message} {fact}", metadata=error.metadata)
