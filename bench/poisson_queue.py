"""A queue in front of workers that always take the same time, under Poisson arrivals: the yardstick
for latencies at a load."""

from __future__ import annotations

import heapq
import random

from load import Outcome

ARRIVALS = 50_000


def simulate(
    *, workers: int, run_seconds: float, per_second: float, target_seconds: float | None = None
) -> Outcome:
    """First come, first served; with a target, who would be answered later is refused."""
    chance = random.Random(0)
    outcome = Outcome()
    free = [0.0] * workers
    now = 0.0
    for _ in range(ARRIVALS):
        now += chance.expovariate(per_second)
        answered = max(free[0], now) + run_seconds
        if target_seconds is not None and answered - now > target_seconds:
            outcome.refused += 1
            continue
        heapq.heapreplace(free, answered)
        outcome.latencies_ms.append((answered - now) * 1000)
    outcome.seconds = now
    return outcome
