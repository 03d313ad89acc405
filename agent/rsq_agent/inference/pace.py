"""How a tower runs fastest on this node: how many workers, threads and items at once.

Found by a second or two of trials when a tower is loaded for the first time, then remembered. All
workers share one session: its pool has the cores that the workers themselves leave, so memory holds
the weights once whatever the split.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from rsq.encoder import Encoder
from rsq_agent.inference.contention import Contention

TRIAL_SECONDS = 1.0  # of each split, or
TRIAL_RUNS = 32  # of each worker in half of it: a small tower has told enough by then
# But so many of one item of each worker, however slow: fewer tell too little to choose by.
LEAST_RUNS = 4
WARM_UP_RUNS = 1
# What a split or a batch must win by: below that noise would decide.
GAIN = 1.05
# Of splits that are equally fast on a CPU. With one worker each call waits behind the whole of
# those ahead: at 80 % load its p99 was 4.9 times its median, that of two 3.5 times
# (bench/results/serving.json). More than two would only make a lone call slower.
CPU_WORKERS = 2
# Waiting for a core for more than this share of a trial makes it a trial of what else runs here.
BUSY_SHARE = 0.15


@dataclass(frozen=True)
class Pace:
    """`threads` are of the session's pool, which all workers share; `batch` is what a worker takes
    at once. `batch_seconds` is what a run took, by its items, with all workers at it. `was_busy`:
    something else had the cores while it was found, the `trials`th time."""

    workers: int
    threads: int
    batch: int
    items_per_second: float
    was_busy: bool = False
    trials: int = 1
    trial_seconds: float = 0.0  # that finding it took, the loads included
    batch_seconds: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Speed:
    items_per_second: float
    waited: float  # share of the time, of the worker that waited least


def splits(cores: int, max_batch: int) -> list[int]:
    """Numbers of workers worth a trial: 1, 2, 4 ... up to the cores. Never more than the largest
    batch: memory was measured with that many items at once."""
    most = min(cores, max_batch)
    return sorted({1 << power for power in range(most.bit_length())} | {most})


def find_pace(
    open_encoder: Callable[[int], Encoder],
    inputs: NDArray[Any],
    *,
    cores: int,
    preferred_workers: int = 1,
    trial_seconds: float = TRIAL_SECONDS,
) -> tuple[Encoder, Pace]:
    """Tries splits of `cores` and then batches; returns the winner's encoder, loaded.

    `open_encoder` takes the threads of the session's pool; what it returned before is let go first,
    so that the weights are never in memory twice. `inputs` are rows to run, as many as the largest
    batch. Of splits that are equally fast, the one of about `preferred_workers` is taken.
    """
    started = time.perf_counter()
    tried: list[Pace] = []
    waited: list[float] = []
    encoder: Encoder | None = None
    for workers in splits(cores, len(inputs)):
        encoder, threads = None, cores - workers + 1
        encoder = open_encoder(threads)
        speed = _measure(
            encoder, inputs[:1], workers=workers, seconds=trial_seconds, least_runs=LEAST_RUNS
        )
        waited.append(speed.waited)
        tried.append(Pace(workers, threads, 1, speed.items_per_second))
    assert encoder is not None  # there is always one worker
    best = _choose_split(tried, preferred_workers)
    if best is not tried[-1]:
        encoder = None
        encoder = open_encoder(best.threads)
    batch_seconds = {1: best.workers / best.items_per_second}
    if encoder.manifest.batch_invariant:
        for batch in (4, len(inputs) // best.workers):
            if not 1 < batch * best.workers <= len(inputs):
                continue
            speed = _measure(encoder, inputs[:batch], workers=best.workers, seconds=trial_seconds)
            waited.append(speed.waited)
            batch_seconds[batch] = best.workers * batch / speed.items_per_second
            if speed.items_per_second > best.items_per_second * GAIN:
                best = replace(best, batch=batch, items_per_second=speed.items_per_second)
    return encoder, replace(
        best,
        batch_seconds=batch_seconds,
        was_busy=max(waited) > BUSY_SHARE,
        trial_seconds=time.perf_counter() - started,
    )


def _choose_split(tried: Sequence[Pace], preferred: int) -> Pace:
    """The fastest; of those that GAIN does not tell from it, that of about `preferred` workers."""
    fastest = max(pace.items_per_second for pace in tried)
    as_fast = [pace for pace in tried if pace.items_per_second * GAIN >= fastest]
    return min(as_fast, key=lambda pace: abs(pace.workers - preferred))


def _measure(
    encoder: Encoder, inputs: NDArray[Any], *, workers: int, seconds: float, least_runs: int = 1
) -> _Speed:
    """With `workers` threads that each run `inputs` again and again: the better half of the trial,
    since what else runs on the node only slows it down."""
    for _ in range(WARM_UP_RUNS):
        encoder.embed_prepared(inputs)
    with ThreadPoolExecutor(workers) as pool:
        halves = [_run(encoder, inputs, pool, workers, seconds / 2, least_runs) for _ in range(2)]
    return max(halves, key=lambda half: half.items_per_second)


def _run(
    encoder: Encoder,
    inputs: NDArray[Any],
    pool: ThreadPoolExecutor,
    workers: int,
    seconds: float,
    least_runs: int,
) -> _Speed:
    """Only runs that ended count, over the time until the last of them did."""
    started = time.perf_counter()

    def run() -> tuple[int, float]:
        contention = Contention()
        runs = 0
        while runs < least_runs or (runs < TRIAL_RUNS and time.perf_counter() - started < seconds):
            encoder.embed_prepared(inputs)
            runs += 1
        return runs, contention.share()

    done = [future.result() for future in [pool.submit(run) for _ in range(workers)]]
    runs = sum(runs for runs, _ in done)
    # Workers may keep each other waiting; what else runs keeps all of them waiting.
    return _Speed(
        runs * len(inputs) / (time.perf_counter() - started), min(share for _, share in done)
    )
