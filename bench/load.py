"""Closed and open load on a callable, from threads of this process."""

from __future__ import annotations

import queue
import random
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from rsq.errors import Exhausted


@dataclass
class Outcome:
    """What became of the calls of one window. Latencies are of the answered ones, from the moment a
    call was due."""

    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    refused: int = 0

    def add(self, other: Outcome) -> None:
        """Another window of the same load."""
        self.seconds += other.seconds
        self.latencies_ms += other.latencies_ms
        self.refused += other.refused

    def to_json(self) -> dict[str, Any]:
        """The percentiles are null where fewer than two calls were answered."""
        p50 = p95 = p99 = None
        if len(self.latencies_ms) >= 2:
            cuts = statistics.quantiles(self.latencies_ms, n=100)
            p50, p95, p99 = cuts[49], cuts[94], cuts[98]
        return {
            "per_second": len(self.latencies_ms) / self.seconds,
            "answered": len(self.latencies_ms),
            "refused": self.refused,
            "p50_ms": p50,
            "p95_ms": p95,
            "p99_ms": p99,
            "p99_over_p50": p99 / p50 if p50 and p99 else None,
        }


def run_closed(call: Callable[[int], None], *, clients: int, seconds: float) -> Outcome:
    """Each client calls again as soon as it is answered. `call` takes a number of its own."""
    outcome = Outcome()
    begun = time.perf_counter()

    def work(client: int) -> None:
        number = client
        while time.perf_counter() < begun + seconds:
            started = time.perf_counter()
            call(number)
            outcome.latencies_ms.append((time.perf_counter() - started) * 1000)
            number += clients

    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(work, client) for client in range(clients)]:
            done.result()
    # The last calls end after the window: by the time that passed, not by the window's length.
    outcome.seconds = time.perf_counter() - begun
    return outcome


def run_open(
    call: Callable[[int], None], *, per_second: float, seconds: float, clients: int, seed: int
) -> Outcome:
    """Calls fall due as a Poisson process, whether or not earlier ones are answered; `clients`
    bounds how many are under way. A call that had to wait for a client counts from when it was due.
    """
    outcome = Outcome()
    due: queue.Queue[tuple[int, float] | None] = queue.Queue()
    lock = threading.Lock()

    def work() -> None:
        while (item := due.get()) is not None:
            number, at = item
            try:
                call(number)
            except Exhausted:
                with lock:
                    outcome.refused += 1
            else:
                with lock:
                    outcome.latencies_ms.append((time.perf_counter() - at) * 1000)

    chance = random.Random(seed)
    with ThreadPoolExecutor(clients) as pool:
        workers = [pool.submit(work) for _ in range(clients)]
        begun = at = time.perf_counter()
        number = 0
        while at < begun + seconds:
            time.sleep(max(at - time.perf_counter(), 0))
            due.put((number, at))
            number += 1
            at += chance.expovariate(per_second)
        for _ in workers:
            due.put(None)
        for done in workers:
            done.result()
    outcome.seconds = time.perf_counter() - begun
    return outcome
