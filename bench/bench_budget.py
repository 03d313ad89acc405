"""Does what was chosen for a budget keep it, and how near is the prediction?

A registry with the base-size model, real artifacts, and `rsq.resolve` as `pull` asks it, over a
grid of budgets, batches and tower sets. Every set of artifacts that can be chosen then runs in a
fresh process of its own (peak_together.py), all its towers at once with batches of many sizes, and
the rise of its peak resident memory is the truth.

Five times, by what the resolver knows: what `rsq.profiling` measures of one artifact at a time at
the publisher's batches, taken anew here so that both sides are of one release; the same with one or
two of them left out, such as the largest, which nodes need not have measured; and nothing, so that
it has file sizes only. Between and beyond measured batches it interpolates, which is told apart.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from base_towers import cpu_name
from bench_serving import MODEL, VARIANTS, registry
from programs import Programs
from tokenizers import Tokenizer

from rsq.errors import NothingFits
from rsq.manifest import TOWERS, Tower
from rsq.profiling import measure, to_profile
from rsq.providers import CPU_PROVIDER
from rsq.records import PUBLISHER, ArtifactRow, VersionRow
from rsq.resolve import Device, Request, Resolution, resolve
from rsq.rpc.registry import RegistryClient
from rsq.units import format_size
from rsq_agent.cache import Cache
from rsq_agent.pulling.pull import fetch_plan, plan_pull
from rsq_server.build.profile import DEFAULT_BATCHES, LARGEST_TIMED_BATCH

REPOSITORY = Path(__file__).resolve().parent.parent
CPU = Device("cpu", (CPU_PROVIDER,))
BATCHES = (1, 4, 8, 16, 32)
# Which batches were measured. What a publisher measures stands first.
MEASURED = (DEFAULT_BATCHES, (1, 8), (8,), (1,), ())
TOWER_SETS: tuple[tuple[Tower, ...], ...] = (TOWERS, ("vision",), ("text",))
BUDGETS = 60  # evenly spaced ratios from half the smallest peak to a half more than the largest
BAR_SHARE, BAR_BYTES = 0.10, 50_000_000  # the prediction is near enough within either

Chosen = tuple[str, ...]  # ids, vision first


@dataclass(frozen=True)
class Point:
    """One prediction and the truth."""

    knows: str
    variants: tuple[str, ...]  # "vision int8"
    batch: int
    predicted_bytes: int
    margin_bytes: int
    measured_bytes: int

    @property
    def error_bytes(self) -> int:
        return self.predicted_bytes - self.measured_bytes

    @property
    def of_bar(self) -> float:
        """How much of the allowed error it has; the bar is 1."""
        return abs(self.error_bytes) / max(BAR_SHARE * self.measured_bytes, BAR_BYTES)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "error_bytes": self.error_bytes, "of_bar": self.of_bar}


@dataclass
class Grid:
    """What came of the questions."""

    questions: int = 0
    answered: int = 0
    over_budget: int = 0
    refused: int = 0
    refused_though_possible: int = 0  # some set of artifacts would have kept the budget
    worst_use: float = 0.0  # the largest share of a budget that was taken


class Node:
    """A node's cache with every artifact of the model, and what is measured of them there."""

    def __init__(self, home: Path, device: Device, threads: int) -> None:
        self.cache = Cache(home / "agent")
        self.device = device
        self._threads = threads
        self._peaks: dict[tuple[Chosen, int], int] = {}

    def fetch(self, registry_home: Path) -> VersionRow:
        programs = Programs(registry_home)
        with programs.serve_registry(), RegistryClient(programs.server) as client:
            for variant in VARIANTS:
                plan = plan_pull(client, self.cache, MODEL, Request(self.device, pin=variant))
                fetch_plan(client, self.cache, plan, on_bytes=lambda count: None, readers=2)
        rows = tuple(row for row in plan.version.artifacts if row.variant in VARIANTS)
        return replace(plan.version, artifacts=rows)

    def profile(self, row: ArtifactRow) -> ArtifactRow:
        """`row` with what its publisher would have measured here."""
        profiles = [
            to_profile(
                measure(
                    self.cache.artifact_folder(row.id),
                    self.cache.manifest_path(row.id),
                    batch=batch,
                    provider=CPU_PROVIDER,
                    threads=self._threads,
                    seconds=0.5,
                    quick=batch > LARGEST_TIMED_BATCH,
                ),
                artifact_id=row.id,
                device=self.device.device_class,
                provider=CPU_PROVIDER,
                batch=batch,
                threads=self._threads,
                source=PUBLISHER,
            )
            for batch in DEFAULT_BATCHES
        ]
        return replace(row, profiles=tuple(profiles))

    def peak(self, rows: Sequence[ArtifactRow], batch: int) -> int:
        """Bytes that `rows` take together at most; measured once."""
        key = tuple(row.id for row in rows), batch
        if key not in self._peaks:
            towers = [
                {
                    "folder": str(self.cache.artifact_folder(row.id)),
                    "manifest": str(self.cache.manifest_path(row.id)),
                }
                for row in rows
            ]
            job = {
                "towers": towers,
                "batch": batch,
                "threads": self._threads,
                "words": self._words(rows),
            }
            script = Path(__file__).with_name("peak_together.py")
            done = subprocess.run(
                [sys.executable, str(script), json.dumps(job)],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            self._peaks[key] = json.loads(done.stdout)["peak_bytes"]
        return self._peaks[key]

    def _words(self, rows: Sequence[ArtifactRow]) -> int:
        for row in rows:
            if row.tower == "text":
                folder = self.cache.artifact_folder(row.id)
                name = self.cache.manifest(row.id).file("tokenizer").name
                return Tokenizer.from_file(str(folder / name)).get_vocab_size()
        return 0


def sets_of(version: VersionRow, towers: Iterable[Tower]) -> list[tuple[ArtifactRow, ...]]:
    choices = [[row for row in version.artifacts if row.tower == tower] for tower in towers]
    return list(itertools.product(*choices))


def name_case(batches: Sequence[int]) -> str:
    if not batches:
        return "nothing measured"
    return f"measured at {', '.join(map(str, batches))}"


def with_profiles(version: VersionRow, batches: Sequence[int]) -> VersionRow:
    """As if only `batches` had been measured."""
    rows = tuple(
        replace(row, profiles=tuple(one for one in row.profiles if one.batch in batches))
        for row in version.artifacts
    )
    return replace(version, artifacts=rows)


def predict(node: Node, version: VersionRow, rows: Sequence[ArtifactRow], batch: int) -> Resolution:
    """What is predicted of exactly `rows`: nothing else is there to choose."""
    towers = tuple(row.tower for row in rows)
    only = replace(version, artifacts=tuple(rows))
    return resolve(only, Request(node.device, towers, max_batch=batch))


def find_points(node: Node, version: VersionRow, knows: str) -> list[Point]:
    points = []
    for towers, batch in itertools.product(TOWER_SETS, BATCHES):
        for rows in sets_of(version, towers):
            told = predict(node, version, rows, batch)
            points.append(
                Point(
                    knows,
                    tuple(f"{row.tower} {row.variant}" for row in rows),
                    batch,
                    told.predicted_peak_bytes,
                    sum(choice.margin_bytes for choice in told.chosen),
                    node.peak(rows, batch),
                )
            )
    return points


def ask_grid(node: Node, version: VersionRow, budgets: int) -> Grid:
    grid = Grid()
    for towers, batch in itertools.product(TOWER_SETS, BATCHES):
        sets = {tuple(row.id for row in rows): rows for rows in sets_of(version, towers)}
        peaks = {ids: node.peak(rows, batch) for ids, rows in sets.items()}
        low, high = math.log(min(peaks.values()) * 0.5), math.log(max(peaks.values()) * 1.5)
        for step in range(budgets):
            budget = int(math.exp(low + (high - low) * step / (budgets - 1)))
            request = Request(node.device, towers, budget, batch)
            grid.questions += 1
            try:
                chosen = resolve(version, request).chosen
            except NothingFits:
                grid.refused += 1
                grid.refused_though_possible += min(peaks.values()) <= budget
                continue
            grid.answered += 1
            peak = peaks[tuple(choice.id for choice in chosen)]
            grid.over_budget += peak > budget
            grid.worst_use = max(grid.worst_use, peak / budget)
    return grid


def judge(points: Sequence[Point]) -> dict[str, Any]:
    shares = sorted(point.of_bar for point in points)
    worst = max(points, key=lambda point: point.of_bar)
    lowest = min(points, key=lambda point: point.predicted_bytes / point.measured_bytes)
    return {
        "points": len(points),
        "p95_of_bar": shares[math.ceil(0.95 * len(shares)) - 1],
        "within_bar": sum(share <= 1 for share in shares),
        "under_predicted": sum(point.error_bytes < 0 for point in points),
        "worst": worst.to_json(),
        "lowest": lowest.to_json(),
    }


def run(registry_home: Path, work: Path, budgets: int, threads: int) -> dict[str, Any]:
    node = Node(work, CPU, threads)
    version = node.fetch(registry_home)
    version = replace(version, artifacts=tuple(node.profile(row) for row in version.artifacts))
    cases = {name_case(batches): with_profiles(version, batches) for batches in MEASURED}
    found: dict[str, Any] = {}
    for knows, known in cases.items():
        points = find_points(node, known, knows)
        batches = {str(batch): [p for p in points if p.batch == batch] for batch in BATCHES}
        found[knows] = {
            "all": judge(points),
            "by_batch": {batch: judge(chosen) for batch, chosen in batches.items()},
            "grid": asdict(ask_grid(node, known, budgets)),
            "points": [point.to_json() for point in points],
        }
    return {
        "device": cpu_name(),
        "device_class": node.device.device_class,
        "threads": threads,
        "variants": VARIANTS,
        "batches": BATCHES,
        "budgets": budgets,
        "bar": {"share": BAR_SHARE, "bytes": BAR_BYTES},
        "cases": found,
    }


def show(result: dict[str, Any]) -> None:
    for knows, case in result["cases"].items():
        print(f"\n{knows}")
        for name, row in {**case["by_batch"], "all": case["all"]}.items():
            worst = row["worst"]
            print(
                f"  batch {name:>3}: {row['within_bar']:3d} of {row['points']:3d} within the bar, "
                f"p95 {row['p95_of_bar']:5.2f} of it, {row['under_predicted']:3d} predicted too "
                f"low; worst {' + '.join(worst['variants'])} at batch {worst['batch']}: "
                f"{format_size(worst['predicted_bytes'])} for "
                f"{format_size(worst['measured_bytes'])}"
            )
        grid = case["grid"]
        print(
            f"  budgets: {grid['questions']} asked, {grid['answered']} answered, "
            f"{grid['over_budget']} exceeded, most taken {grid['worst_use']:.1%}; "
            f"{grid['refused']} refused, of which {grid['refused_though_possible']} were possible"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="RSQ_HOME whose registry has the model 'base'")
    parser.add_argument("--budgets", type=int, default=BUDGETS)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/budget.json")
    options = parser.parse_args()
    with registry(options.home) as home, tempfile.TemporaryDirectory() as name:
        result = run(home, Path(name), options.budgets, options.threads)
    show(result)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
