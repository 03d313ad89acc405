"""Hot swaps under load, and whether memory comes back.

Two versions of a small model take turns in an agent that is a process of its own, side by side and
drained, while clients call it without pause and then at a fixed rate. Every reply is compared with
the known vector of the artifact that it names. Windows without swaps take turns with windows of
swaps. Then one model is loaded and unloaded again and again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from base_towers import cpu_name
from checked_calls import Checked, fit_line
from load import Outcome, run_closed, run_open
from programs import Programs

from rsq.rpc import agent as agent_rpc
from rsq_agent.cache import Cache
from rsq_agent.state import Activation, NodeState, save_state

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from tiny_artifacts import build_artifact  # noqa: E402
from tiny_node import stock  # noqa: E402

MODEL = "small"
HIDDEN = 1500  # about 9 MB a tower
PEAK_BYTES = 1_000_000_000  # as told to the agent: budgets below two of them make it drain
SWAPS = 100
DRAINED_SWAPS = 30
ROUNDS = 5
CLIENTS = 4
OPEN_SHARE = 0.3  # of what the closed load managed
CYCLES = 200
SETTLING_CYCLES = 20  # left out of the line
SEED = 20261123

Calls = Callable[[int], None]


class Swapper:
    """Activates two versions in turn while a window is open."""

    def __init__(self, address: str, versions: list[Activation]) -> None:
        self._address = address
        self._versions = versions
        self.done = 0
        self.seconds: list[float] = []
        self.waits: list[float] = []  # of drained ones

    def swap(self, budget_bytes: int | None) -> None:
        self.done += 1
        wanted = replace(self._versions[self.done % 2], budget_bytes=budget_bytes)
        started = time.perf_counter()
        swap = agent_rpc.activate(
            self._address,
            model=wanted.model,
            version=wanted.version,
            artifact_ids=wanted.artifacts,
            providers=wanted.providers,
            max_batch=wanted.max_batch,
            budget_bytes=wanted.budget_bytes,
            peak_bytes=(PEAK_BYTES,),
            load_seconds=1.0,
        )
        self.seconds.append(time.perf_counter() - started)
        if not swap.side_by_side:
            self.waits.append(swap.downtime_seconds)

    @contextmanager
    def swapping(self, count: int, seconds: float, budget_bytes: int | None) -> Iterator[None]:
        """`count` swaps, spread over a window of `seconds`."""

        def work() -> None:
            begun = time.perf_counter()
            for number in range(count):
                time.sleep(max(begun + number * seconds / count - time.perf_counter(), 0))
                self.swap(budget_bytes)

        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(work)
            yield
            future.result()


def measure_load(
    name: str,
    run: Callable[[Calls, float], Outcome],
    checked: Checked,
    swapper: Swapper,
    *,
    swaps: int,
    rounds: int,
    seconds: float,
    budget_bytes: int | None,
) -> dict[str, Any]:
    """Windows without swaps and with them, in turn."""
    latencies: dict[str, list[float]] = {"without": [], "with": []}
    p99: dict[str, list[float]] = {"without": [], "with": []}
    answered = 0
    begun = swapper.done
    waits = len(swapper.waits)
    times = len(swapper.seconds)
    for _ in range(rounds):
        for kind in ("without", "with"):
            if kind == "with":
                with swapper.swapping(swaps // rounds, seconds, budget_bytes):
                    outcome = run(checked.call, seconds)
            else:
                outcome = run(checked.call, seconds)
            latencies[kind] += outcome.latencies_ms
            p99[kind].append(float(np.percentile(outcome.latencies_ms, 99)))
            answered += len(outcome.latencies_ms)
    row: dict[str, Any] = {
        "calls": answered,
        "swaps": swapper.done - begun,
        "swap_seconds_median": statistics.median(swapper.seconds[times:]),
        "p99_inflation": float(
            np.percentile(latencies["with"], 99) / np.percentile(latencies["without"], 99)
        ),
        "p99_inflation_by_round": [a / b for a, b in zip(p99["with"], p99["without"], strict=True)],
    }
    for kind, values in latencies.items():
        cuts = np.percentile(values, [50, 99, 100])
        row[kind] = dict(zip(("p50_ms", "p99_ms", "max_ms"), map(float, cuts), strict=True))
        row[kind]["per_second"] = len(values) / seconds / rounds
    if swapper.waits[waits:]:
        row["wait_seconds"] = _spread(swapper.waits[waits:])
    without, slowest = row["without"]["p99_ms"], row["with"]["max_ms"]
    print(
        f"{name:22} {row['calls']:6} calls {row['swaps']:3} swaps, p99 {without:.1f} -> "
        f"{row['with']['p99_ms']:.1f} ms ({row['p99_inflation']:.2f}x), slowest {slowest:.0f} ms",
        flush=True,
    )
    return row


def measure_memory(address: str, cycles: int) -> dict[str, Any]:
    """The agent's resident memory after each unload of `MODEL`, as a line over the cycles."""
    resident = []
    loaded = []
    for _ in range(cycles):
        agent_rpc.load(address, MODEL)
        loaded.append(agent_rpc.read_status(address).resident_bytes)
        agent_rpc.unload(address, MODEL)
        resident.append(agent_rpc.read_status(address).resident_bytes)
    first = min(SETTLING_CYCLES, cycles // 4)
    line, late = fit_line(resident, first), fit_line(resident, cycles // 2)
    row = {
        "cycles": cycles,
        **line,
        "second_half": late,  # a step that the allocator takes once is not a leak
        "model_bytes": int(np.median(loaded) - np.median(resident)),
        "resident_bytes": resident,
    }
    for name, found in (("all", line), ("second half", late)):
        print(
            f"memory over {cycles} cycles, {name}: {found['bytes_per_cycle']:+.0f} bytes a cycle "
            f"(standard error {found['standard_error_bytes']:.0f}), residuals "
            f"{found['residual_standard_deviation_bytes'] / 1e3:.0f} kB"
        )
    print(f"a loaded model takes {row['model_bytes'] / 1e6:.1f} MB")
    return row


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def run(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    programs = Programs(folder / "home")
    cache = Cache(programs.home / "agent")
    built = [
        build_artifact(folder / f"{tower}-{version}", tower, seed=version, hidden=HIDDEN)
        for version in (1, 2)
        for tower in ("vision", "text")
    ]
    versions = [
        stock(cache, built[2 * at : 2 * at + 2], model=MODEL, version=at + 1, peak_bytes=PEAK_BYTES)
        for at in range(2)
    ]
    save_state(cache, NodeState().activate(versions[0]))
    result: dict[str, Any] = {}
    with programs.serve_agent("--log-level", "error"):
        checked, swapper = Checked(programs.agent, built), Swapper(programs.agent, versions)
        swapper.swap(None)
        swapper.swap(2 * PEAK_BYTES)  # each version was found its pace by now
        closed = lambda call, seconds: run_closed(call, clients=CLIENTS, seconds=seconds)  # noqa: E731
        common: dict[str, Any] = {"rounds": arguments.rounds, "seconds": arguments.seconds}
        result["closed"] = measure_load(
            "closed, side by side", closed, checked, swapper,
            swaps=arguments.swaps, budget_bytes=2 * PEAK_BYTES, **common,
        )  # fmt: skip
        per_second = OPEN_SHARE * result["closed"]["without"]["per_second"]

        def open_load(call: Calls, seconds: float) -> Outcome:
            return run_open(
                call, per_second=per_second, seconds=seconds, clients=4 * CLIENTS, seed=SEED
            )

        result["open_per_second"] = per_second
        result["open"] = measure_load(
            "open, side by side", open_load, checked, swapper,
            swaps=arguments.swaps, budget_bytes=2 * PEAK_BYTES, **common,
        )  # fmt: skip
        swapper.swap(PEAK_BYTES + 1)  # from here on both budgets are too small for two
        result["closed_drained"] = measure_load(
            "closed, drained", closed, checked, swapper,
            swaps=arguments.drained_swaps, budget_bytes=PEAK_BYTES + 1, **common,
        )  # fmt: skip
        result["failed"] = len(checked.failures)
        result["failures"] = checked.failures[:5]
        result["from_another_artifact"] = checked.wrong
        result["replies_by_artifact"] = dict(checked.replies)
        print(
            f"{sum(checked.replies.values())} replies of {len(checked.replies)} artifacts: "
            f"{result['failed']} failed, {result['from_another_artifact']} from another artifact "
            "than the one they name"
        )
        checked.close()
        result["memory"] = measure_memory(programs.agent, arguments.cycles)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=SWAPS, help="of each kind of load")
    parser.add_argument("--drained-swaps", type=int, default=DRAINED_SWAPS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=20.0, help="of a window")
    parser.add_argument("--cycles", type=int, default=CYCLES)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/swap.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        result = {
            "device": cpu_name(),
            "cores": len(os.sched_getaffinity(0)),
            "clients": CLIENTS,
            **run(Path(name), arguments),
        }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
