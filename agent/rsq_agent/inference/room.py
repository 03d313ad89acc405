"""Whether a model has room beside what is in memory, and what goes to make room. Pure decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rsq.units import format_size

HEADROOM_BYTES = 256 << 20  # of the machine's memory, left free for everything else


@dataclass(frozen=True)
class Neighbour:
    """Another model in memory."""

    model: str
    size_bytes: int
    is_idle: bool
    last_used: float  # on any clock that only moves forward


@dataclass(frozen=True)
class Limits:
    """None: no limit. `pair_bytes` holds for a model together with the one it replaces,
    `total_bytes` for all models together, `free_bytes` is what the device has left now."""

    pair_bytes: int | None = None
    total_bytes: int | None = None
    free_bytes: int | None = None


@dataclass(frozen=True)
class Room:
    """`evict` are idle models that go first, the least recently used first. `reason` is a
    sentence."""

    fits: bool
    evict: tuple[str, ...]
    reason: str


def find_room(
    needed_bytes: int, *, beside_bytes: int, neighbours: Sequence[Neighbour], limits: Limits
) -> Room:
    """Room for `needed_bytes` beside `beside_bytes` that stay. Models in use are never evicted;
    none goes where that would not be enough."""
    if limits.pair_bytes is not None and beside_bytes + needed_bytes > limits.pair_bytes:
        return Room(
            False,
            (),
            f"{format_size(beside_bytes)} in memory and {format_size(needed_bytes)} to come are "
            f"over the budget of {format_size(limits.pair_bytes)}.",
        )
    idle = sorted(
        (model for model in neighbours if model.is_idle), key=lambda model: model.last_used
    )
    held = beside_bytes + sum(model.size_bytes for model in neighbours)
    for count in range(len(idle) + 1):
        freed = sum(model.size_bytes for model in idle[:count])
        reason = _shortage(needed_bytes, held - freed, freed, limits)
        if reason is None:
            names = tuple(model.model for model in idle[:count])
            return Room(True, names, f"There is room for {format_size(needed_bytes)}.")
    assert reason is not None
    return Room(False, (), reason)


def _shortage(needed: int, held: int, freed: int, limits: Limits) -> str | None:
    if limits.total_bytes is not None and held + needed > limits.total_bytes:
        return (
            f"{format_size(held)} in use and {format_size(needed)} to come are over the "
            f"{format_size(limits.total_bytes)} that all models together may take."
        )
    if limits.free_bytes is not None and needed + HEADROOM_BYTES > limits.free_bytes + freed:
        return (
            f"{format_size(needed)} are needed with {format_size(HEADROOM_BYTES)} to spare, and "
            f"{format_size(limits.free_bytes + freed)} of memory are free."
        )
    return None
