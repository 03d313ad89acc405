"""Both splits of two cores at 80 % load, with and without a latency target: an agent each, in turns
and with the same arrivals."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from load import Outcome, run_open
from poisson_queue import simulate
from programs import Programs

from rsq.units import parse_seconds

LOAD_SHARE = 0.8
ROUNDS = 4


def compare_splits(
    home: Path,
    work: Path,
    *,
    cores: int,
    splits: tuple[tuple[int, int], ...],
    target: str,
    per_second: float,
    seconds: float,
    open_call: Callable[[str, ExitStack], Callable[[int], None]],
) -> dict[str, Any]:
    """Open load of 80 % of `per_second` on copies of the agent in `home`, for `seconds` each, and
    what a queue of runs that always take the same time gives. `splits` are workers and threads of
    the `cores` that the paces in `home` are for; `open_call` calls the agent at an address."""
    calls: dict[str, Callable[[int], None]] = {}
    found: dict[str, Outcome] = {}
    with ExitStack() as stack:
        for workers, threads in splits:
            for chosen in ("", target):
                name = _title(f"{workers}x{threads}", chosen)
                programs = Programs(_copy_agent(home, work / name, workers, threads))
                options = ["--latency-target", f"vision={chosen}"] if chosen else []
                stack.enter_context(programs.serve_agent("--threads", str(cores), *options))
                calls[name] = open_call(programs.agent, stack)
                found[name] = Outcome()
        for number in range(ROUNDS):
            for name, call in calls.items():
                window = run_open(
                    call,
                    per_second=LOAD_SHARE * per_second,
                    seconds=seconds / ROUNDS,
                    clients=64,
                    seed=number,
                )
                found[name].add(window)
    for workers, _ in splits:
        for chosen in ("", target):
            found[_title(f"calculated, {workers} at once", chosen)] = simulate(
                workers=workers,
                run_seconds=workers / per_second,
                per_second=LOAD_SHARE * per_second,
                target_seconds=parse_seconds(chosen) if chosen else None,
            )
    return {name: outcome.to_json() for name, outcome in found.items()}


def show_splits(rows: dict[str, Any]) -> None:
    for name, row in rows.items():
        title = f"  {LOAD_SHARE:.0%} load, {name:34}"
        if row["p50_ms"] is None:
            print(f"{title} {row['answered']} answered and {row['refused']} refused")
            continue
        refused = row["refused"] / (row["refused"] + row["answered"])
        print(
            f"{title} p50 {row['p50_ms']:5.0f} p95 {row['p95_ms']:5.0f} "
            f"p99 {row['p99_ms']:5.0f} ms, p99/p50 {row['p99_over_p50']:.2f}, refused {refused:.1%}"
        )


def _title(what: str, target: str) -> str:
    return f"{what}, target {target}" if target else what


def _copy_agent(home: Path, folder: Path, workers: int, threads: int) -> Path:
    """RSQ_HOME of an agent that has what the one in `home` pulled, and splits the cores so."""
    shutil.copytree(
        home / "agent",
        folder / "agent",
        copy_function=_link,
        ignore=shutil.ignore_patterns("collections", "*.lock"),
    )
    paces = folder / "agent" / "paces.json"
    content = json.loads(paces.read_text())
    for row in content["paces"]:
        pace = row["pace"] | {"workers": workers, "threads": threads, "batch": 1, "was_busy": False}
        row["pace"] = pace | {"batch_seconds": {"1": workers / pace["items_per_second"]}}
    paces.unlink()  # or the write would go to the file it is linked with
    paces.write_text(json.dumps(content))
    return folder


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
