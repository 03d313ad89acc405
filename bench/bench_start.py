"""From process start to health SERVING: `rsq-agent serve` with the base-size INT8 pair, offline.

A registry gives the agent its artifacts and then ends; only the agent runs in what is timed. The
first start finds the towers' pace and remembers it, so it is stated apart. One more start runs
under strace, which counts the calls to connect(). Where the time goes is told by a process that
does what a start does, one step after the other (start_steps.py).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from base_towers import cpu_name
from bench_serving import registry
from programs import COMMANDS, Programs

from rsq.rpc.health import is_serving

REPOSITORY = Path(__file__).resolve().parent.parent
MODEL, VARIANT = "base", "int8"
RUNS = 9
TARGET_SECONDS = 4.0
POLL_SECONDS = 0.05
LIMIT_SECONDS = 120.0
WATCH_SECONDS = 20.0  # for calls to connect(), since what a library sends by itself comes late
CONNECT = re.compile(r"connect\(\d+, \{sa_family=(AF_\w+)(.*)")


def pull_pair(registry_home: Path, home: Path) -> Programs:
    """An agent's data folder below `home` with the INT8 pair active, and no server left."""
    origin, node = Programs(registry_home), Programs(home)
    node.server = origin.server
    with origin.serve_registry():
        node.pull(MODEL, "--pin", VARIANT, "--json")
    return node


@contextmanager
def started(node: Programs, *prefix: str) -> Iterator[float]:
    """Seconds from the start of the process to SERVING; it is ended with the block."""
    command = [
        *prefix, str(COMMANDS / "rsq-agent"), "serve", "--listen", node.agent,
        "--log-level", "error",
    ]  # fmt: skip
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=node.environment, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        while not is_serving(node.agent, "rsq.v1.Embedding"):
            if process.poll() is not None or time.perf_counter() - began > LIMIT_SECONDS:
                raise RuntimeError(f"{command} did not serve; it ended with {process.poll()}.")
            time.sleep(POLL_SECONDS)
        yield time.perf_counter() - began
    finally:
        # Its group, because under strace the agent is a child; strace itself blocks the signal.
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def count_connects(node: Programs, folder: Path) -> dict[str, Any] | None:
    """The calls to connect() of one start and some time after, by kind; None where strace is
    missing."""
    strace = shutil.which("strace")
    if strace is None:
        return None
    log = folder / "strace"
    prefix = (strace, "-f", "-qq", "-e", "trace=connect", "-e", "signal=none", "-o", str(log))
    with started(node, *prefix):
        time.sleep(WATCH_SECONDS)
    calls = [call.groups() for call in CONNECT.finditer(log.read_text())]
    kinds = Counter(_kind(family, rest) for family, rest in calls)
    return {"calls": len(calls), "kinds": dict(kinds)}


def _kind(family: str, rest: str) -> str:
    if family == "AF_UNIX":
        return "unix socket"
    port = re.search(r"_port=htons\((\d+)\)", rest)
    where = "loopback" if re.search(r'"(::ffff:)?127\.|"::1"', rest) else "network"
    return f"{where}, port {port[1] if port else '?'}"


def time_steps(home: Path) -> dict[str, float]:
    """Seconds of each step in a fresh process."""
    command = [sys.executable, str(Path(__file__).with_name("start_steps.py")), str(home / "agent")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def run(registry_home: Path, folder: Path, runs: int) -> dict[str, Any]:
    node = pull_pair(registry_home, folder / "node")
    with started(node) as first:
        pass
    laps = []
    for _ in range(runs):
        with started(node) as seconds:
            laps.append(seconds)
    steps = [time_steps(node.home) for _ in range(runs)]
    return {
        "device": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "runs": runs,
        "first_start_seconds": first,
        "start_seconds": spread(laps),
        "target_seconds": TARGET_SECONDS,
        "connects": count_connects(node, folder),
        "steps_seconds": {name: spread([one[name] for one in steps]) for name in steps[0]},
    }


def show(found: dict[str, Any]) -> None:
    lap = found["start_seconds"]
    print(
        f"start to SERVING on {found['cores']} cores: {lap['median']:.2f} s ({lap['min']:.2f} to "
        f"{lap['max']:.2f}), target {found['target_seconds']:.0f} s; the first start "
        f"{found['first_start_seconds']:.2f} s"
    )
    for name, step in found["steps_seconds"].items():
        print(f"  {name:24} {step['median']:6.3f} s ({step['min']:.3f} to {step['max']:.3f})")
    connects = found["connects"]
    if connects is None:
        print("connect() not counted: strace is missing; run: apt-get install strace")
    else:
        print(f"calls to connect(): {connects['calls']} {connects['kinds']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="RSQ_HOME whose registry has the model 'base'")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/start.json")
    options = parser.parse_args()
    with registry(options.home) as home, tempfile.TemporaryDirectory() as name:
        found = run(home, Path(name), options.runs)
    show(found)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
