"""Who may join a tower's queue: decided before a call's images are decoded, without waiting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rsq.errors import RETRY_AFTER, Exhausted
from rsq_agent.inference.batch_times import BatchTimes

MIN_RETRY_SECONDS = 0.05  # what a refused caller is told to wait at least


@dataclass(frozen=True)
class QueueLimits:
    """Without a target, one who finds the queue empty is never refused."""

    items: int  # bounds memory
    wait_seconds: float  # what waits already may take this long, where there is no target
    target_seconds: float | None = None  # from a call's admission to its vectors


@dataclass(frozen=True)
class Line:
    """What a caller finds before it."""

    tower: str
    waiting: int  # rows in the queue
    ahead: int  # those of them that start before the caller's
    busy: Sequence[float]  # seconds until each worker is free
    largest: int  # batch


def find_refusal(
    count: int, line: Line, limits: QueueLimits, times: BatchTimes
) -> Exhausted | None:
    """Why `count` more rows may not join; None where they may. Rows that the target doesn't hold
    for have limits without one."""
    if line.waiting > 0 and line.waiting + count > limits.items:
        return _too_many(line, times)
    if limits.target_seconds is not None:
        return _past_target(count, line, limits.target_seconds, times)
    if line.ahead * times.row_seconds > limits.wait_seconds:
        return _too_many(line, times)
    return None


def _too_many(line: Line, times: BatchTimes) -> Exhausted:
    seconds = line.waiting * times.row_seconds
    return Exhausted(
        f"{line.waiting} items wait for the {line.tower} tower, about {seconds:.1f} s of work; "
        "try again in a moment.",
        metadata={RETRY_AFTER: f"{max(seconds / 2, MIN_RETRY_SECONDS):.2f}"},
    )


def _past_target(
    count: int, line: Line, target_seconds: float, times: BatchTimes
) -> Exhausted | None:
    if count == 1 and line.ahead == 0 and min(line.busy) == 0:
        # Always: what a batch takes is learned from those that run.
        return None
    seconds = times.finish_seconds(line.ahead + count, busy=line.busy, largest=line.largest)
    if seconds <= target_seconds:
        return None
    most = _most_alone(count, line, target_seconds, times)
    if most < count:
        return Exhausted(
            f"{count} items at once take the {line.tower} tower longer than its latency target of "
            f"{target_seconds * 1000:.0f} ms; send {most} at most, or use EmbedStream."
        )
    return Exhausted(
        f"The {line.tower} tower would answer after about {seconds * 1000:.0f} ms, past its "
        f"latency target of {target_seconds * 1000:.0f} ms; try again in a moment.",
        metadata={RETRY_AFTER: f"{max(seconds - target_seconds, MIN_RETRY_SECONDS):.2f}"},
    )


def _most_alone(count: int, line: Line, target_seconds: float, times: BatchTimes) -> int:
    """How many rows of one call, up to `count`, an idle tower answers in time; 1 at least."""
    idle = [0.0] * len(line.busy)
    most = count
    while most > 1 and (
        times.finish_seconds(most, busy=idle, largest=line.largest) > target_seconds
    ):
        most -= 1
    return most
