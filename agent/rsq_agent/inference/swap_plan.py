"""Whether a model can be loaded beside the one it replaces, and who goes otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rsq.errors import Exhausted
from rsq_agent.cache import Cache
from rsq_agent.inference.footprint import memory_bytes, runs_on_gpu
from rsq_agent.inference.live_model import LiveModel
from rsq_agent.inference.room import Limits, Neighbour, Room, find_room
from rsq_agent.inference.slots import title
from rsq_agent.state import Activation


@dataclass(frozen=True)
class SwapPlan:
    """`downtime_seconds`: how long requests are expected to wait, where the new model can't be
    loaded beside the old one. `reason` is a sentence; `evict` are models of other names that go."""

    side_by_side: bool
    downtime_seconds: float
    reason: str
    evict: tuple[str, ...] = ()


@dataclass(frozen=True)
class InMemory:
    """What is loaded now: the model that is to be replaced, those of other names, and those that
    were replaced and still have calls in flight."""

    old: LiveModel | None
    others: Sequence[LiveModel]
    leaving: Sequence[LiveModel]


class Planner:
    def __init__(
        self,
        cache: Cache,
        *,
        total_bytes: int | None,
        free_bytes: Callable[..., int | None],
        load_seconds: Callable[[Activation], float],
    ) -> None:
        """`total_bytes` is for all models together; `free_bytes(on_gpu=...)` what is left now;
        `load_seconds` says how long a load will take."""
        self._cache = cache
        self._total_bytes = total_bytes
        self._free_bytes = free_bytes
        self._load_seconds = load_seconds

    def plan_load(self, activation: Activation, loaded: InMemory) -> tuple[str, ...]:
        """The idle models that go first. Raises Exhausted when that isn't enough."""
        room = self._find_room(activation, loaded)
        if not room.fits:
            raise Exhausted(f"{title(activation)} can't be loaded now. {room.reason}")
        return room.evict

    def plan_swap(self, activation: Activation, loaded: InMemory) -> SwapPlan:
        """Raises Exhausted where even the place of the old one and of all others won't do."""
        beside = self._find_room(activation, loaded)
        if beside.fits:
            return SwapPlan(True, 0.0, beside.reason, beside.evict)
        room = self._find_room(activation, loaded, instead=True)
        if not room.fits:
            # What the device has free is a guess by then; the budget is not.
            room = self._find_room(activation, loaded, instead=True, any_free=True)
        if not room.fits:
            raise Exhausted(f"{title(activation)} can't be loaded. {room.reason}")
        alone = loaded.old is None and not room.evict
        seconds = 0.0 if alone else self._load_seconds(activation)
        return SwapPlan(alone, seconds, beside.reason, room.evict)

    def _find_room(
        self,
        activation: Activation,
        loaded: InMemory,
        *,
        instead: bool = False,
        any_free: bool = False,
    ) -> Room:
        """Beside the old one; or `instead` of it, when others may go although they are in use."""
        old_bytes = self._bytes(loaded.old) if loaded.old is not None else 0
        pair_bytes = None
        if loaded.old is not None and not instead:
            budgets = (loaded.old.activation.budget_bytes, activation.budget_bytes)
            known = [budget for budget in budgets if budget is not None]
            pair_bytes = max(known) if len(known) == len(budgets) else None
        free = None if any_free else self._free_bytes(on_gpu=runs_on_gpu(activation))
        if instead and free is not None:
            free += old_bytes
        leaving_bytes = sum(self._bytes(live) for live in loaded.leaving)
        return find_room(
            memory_bytes(self._cache, activation),
            beside_bytes=leaving_bytes + (0 if instead else old_bytes),
            neighbours=[
                Neighbour(
                    live.activation.model,
                    self._bytes(live),
                    instead or live.is_idle,
                    live.last_used,
                )
                for live in loaded.others
            ],
            limits=Limits(pair_bytes, self._total_bytes, free),
        )

    def _bytes(self, live: LiveModel) -> int:
        return memory_bytes(self._cache, live.activation)
