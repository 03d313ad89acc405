"""How a tower runs fastest on this node: how many workers, threads and items at once.

Found by a second or two of trials when a tower is loaded for the first time, then remembered. All
workers share one session: its pool has the cores that the workers themselves leave, so memory holds
the weights once whatever the split.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from rsq.durable import write_durably
from rsq.encoder import Encoder

PACE_SCHEMA = 1
TRIAL_SECONDS = 0.6  # of each split, or
TRIAL_RUNS = 32  # of each worker in half of it: a small tower has told enough by then
WARM_UP_RUNS = 1
# What one split must win over another: below that the simpler one stays, and noise decides nothing.
GAIN = 1.05


@dataclass(frozen=True)
class Pace:
    """`threads` are of the session's pool, which all workers share; `batch` is what a worker takes
    at once."""

    workers: int
    threads: int
    batch: int
    items_per_second: float


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
    trial_seconds: float = TRIAL_SECONDS,
) -> tuple[Encoder, Pace]:
    """Tries splits of `cores` and then batches; returns the winner's encoder, loaded.

    `open_encoder` takes the threads of the session's pool. `inputs` are rows to run, as many as the
    largest batch.
    """
    best: tuple[Encoder, Pace] | None = None
    for workers in splits(cores, len(inputs)):
        encoder = open_encoder(cores - workers + 1)
        speed = _measure(encoder, inputs[:1], workers=workers, seconds=trial_seconds)
        if best is None or speed > best[1].items_per_second * GAIN:
            best = encoder, Pace(workers, cores - workers + 1, 1, speed)
    assert best is not None  # there is always one worker
    encoder, pace = best
    if not encoder.manifest.batch_invariant:
        return best
    for batch in (4, len(inputs) // pace.workers):
        if not 1 < batch * pace.workers <= len(inputs):
            continue
        speed = _measure(encoder, inputs[:batch], workers=pace.workers, seconds=trial_seconds)
        if speed > pace.items_per_second * GAIN:
            pace = Pace(pace.workers, pace.threads, batch, speed)
    return encoder, pace


def _measure(encoder: Encoder, inputs: NDArray[Any], *, workers: int, seconds: float) -> float:
    """Items a second with `workers` threads that each run `inputs` again and again: the better half
    of the trial, since what else runs on the node only slows it down."""
    for _ in range(WARM_UP_RUNS):
        encoder.embed_prepared(inputs)
    with ThreadPoolExecutor(workers) as pool:
        return max(_run(encoder, inputs, pool, workers, seconds / 2) for _ in range(2))


def _run(
    encoder: Encoder, inputs: NDArray[Any], pool: ThreadPoolExecutor, workers: int, seconds: float
) -> float:
    """Only runs that ended count, over the time until the last of them did."""
    started = time.perf_counter()

    def run() -> int:
        runs = 0
        while runs < TRIAL_RUNS and time.perf_counter() - started < seconds:
            encoder.embed_prepared(inputs)
            runs += 1
        return runs

    runs = sum(future.result() for future in [pool.submit(run) for _ in range(workers)])
    return runs * len(inputs) / (time.perf_counter() - started)


class PaceFile:
    """The paces found on this node. A file that can't be read counts as empty: finding a pace
    again costs a second."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, key: str) -> Pace | None:
        try:
            return Pace(**self._load()[key])
        except (KeyError, TypeError):
            return None

    def write(self, key: str, pace: Pace) -> None:
        paces = {**self._load(), key: asdict(pace)}
        data = json.dumps({"schema": PACE_SCHEMA, "paces": paces}, indent=1, sort_keys=True)
        write_durably(self._path, data.encode())

    def _load(self) -> dict[str, Any]:
        try:
            fields = json.loads(self._path.read_bytes())
            paces = fields["paces"] if fields["schema"] == PACE_SCHEMA else {}
            return dict(paces)
        except (OSError, ValueError, KeyError, TypeError):
            return {}
