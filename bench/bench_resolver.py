"""Five rules that people choose models by, and rsq's, against an oracle that knows every measured
peak, latency and accuracy.

The rows are those of the published versions in bench/results that hold memory (main_job.json,
base_publish.json, large.json; recipes.json and quantization.json measured none). rsq is asked
twice: with what the publisher measured on this class of device, and with nothing measured, so that
it knows file sizes only, as the rules do. The measured peak is the truth in both, so the first
shows what its margins cost, not how well another node of the class would agree. A quarter on top of
the files and files within 80 % of the memory are one rule by arithmetic; people name both.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rsq.errors import NothingFits
from rsq.manifest import TOWERS
from rsq.prediction import predict_peak
from rsq.providers import CPU_PROVIDER
from rsq.records import ArtifactEvaluation, ArtifactRow, PairEvaluation, Profile, VersionRow
from rsq.resolve import Device, Objective, Request, accuracy_of, resolve
from rsq.units import format_size

RESULTS = Path(__file__).resolve().parent / "results"
SOURCES = ("main_job", "base_publish", "large")
CPU = Device("cpu", (CPU_PROVIDER,))
BUDGETS = 60  # evenly spaced ratios from half the smallest pair to a half more than the largest
FLOOR = 0.95
OBJECTIVES = (
    (Objective.ACCURACY, None),
    (Objective.LATENCY, FLOOR),
    (Objective.MEMORY, FLOOR),
)

Pair = tuple[ArtifactRow, ...]
Rule = Callable[[VersionRow, Request], Pair | None]


def load_version(name: str) -> VersionRow:
    """The published version as its bench recorded it."""
    fields = json.loads((RESULTS / f"{name}.json").read_text())["published"]
    artifacts = []
    for item in fields["artifacts"]:
        evaluation = item["evaluation"]
        artifacts.append(
            ArtifactRow(
                item["id"],
                item["tower"],
                item["variant"],
                item["size_bytes"],
                tuple(item["providers"]),
                item["batch_invariant"],
                ArtifactEvaluation(item["id"], "", "", {"top1_match": evaluation["top1_match"]}),
                tuple(Profile(artifact_id=item["id"], **profile) for profile in item["profiles"]),
            )
        )
    ids = {(row.tower, row.variant): row.id for row in artifacts}
    pairs = tuple(
        PairEvaluation(
            ids["vision", pair["vision"]],
            ids["text", pair["text"]],
            "",
            "",
            {"top1_match": pair["evaluation"]["top1_match"]},
        )
        for pair in fields["pairs"]
    )
    return VersionRow(
        fields["model"], fields["version"], "", 0, "", "", name, tuple(artifacts), pairs
    )


def pairs_of(version: VersionRow) -> list[Pair]:
    vision, text = ([row for row in version.artifacts if row.tower == tower] for tower in TOWERS)
    return [(one, other) for one in vision for other in text]


def file_bytes(pair: Pair) -> int:
    return sum(row.size_bytes for row in pair)


def true_peak(pair: Pair, batch: int) -> int:
    return sum(
        profile.peak_bytes for row in pair for profile in row.profiles if profile.batch == batch
    )


def true_ms(pair: Pair) -> float:
    return sum(min(p.p50_ms for p in row.profiles if p.batch == 1) for row in pair)


def largest_file(scale: float) -> Rule:
    """The largest files of which `scale` times their size fits: size as a stand-in for quality."""

    def choose(version: VersionRow, request: Request) -> Pair | None:
        fitting = [p for p in pairs_of(version) if file_bytes(p) * scale <= budget_of(request)]
        return max(fitting, key=file_bytes, default=None)

    return choose


def lowest_precision(version: VersionRow, request: Request) -> Pair | None:
    smallest = min(pairs_of(version), key=file_bytes)
    return smallest if file_bytes(smallest) <= budget_of(request) else None


def provider_order(version: VersionRow, request: Request) -> Pair | None:
    """The first artifact listed that the preferred provider runs; memory is not looked at."""
    provider = request.device.providers[0]
    return tuple(
        next(row for row in version.artifacts if row.tower == tower and provider in row.providers)
        for tower in TOWERS
    )


def rsq_rule(version: VersionRow, request: Request) -> Pair | None:
    try:
        ids = {choice.id for choice in resolve(version, request).chosen}
    except NothingFits:
        return None
    return next(pair for pair in pairs_of(version) if {row.id for row in pair} == ids)


def rsq_unmeasured(version: VersionRow, request: Request) -> Pair | None:
    blank = replace(
        version, artifacts=tuple(replace(row, profiles=()) for row in version.artifacts)
    )
    chosen = rsq_rule(blank, request)
    if chosen is None:
        return None
    ids = {row.id for row in chosen}
    return next(pair for pair in pairs_of(version) if {row.id for row in pair} == ids)


RULES: dict[str, Rule] = {
    "largest that fits by file size": largest_file(1.0),
    "lowest precision": lowest_precision,
    "provider order": provider_order,
    "disk size x 1.25": largest_file(1.25),
    "80 % of memory": largest_file(1 / 0.8),
    "rsq": rsq_rule,
    "rsq, nothing measured": rsq_unmeasured,
}


def budget_of(request: Request) -> int:
    assert request.budget_bytes is not None
    return request.budget_bytes


def find_oracle(version: VersionRow, request: Request) -> Pair | None:
    """The best by the objective among those that truly fit and are accurate enough."""
    able = [
        pair
        for pair in pairs_of(version)
        if true_peak(pair, request.max_batch) <= budget_of(request)
        and accuracy_of(version, pair) >= (request.min_accuracy or 0.0)
    ]
    return min(able, key=lambda pair: cost(version, pair, request), default=None)


def cost(version: VersionRow, pair: Pair, request: Request) -> tuple[float, ...]:
    accuracy, ms = -accuracy_of(version, pair), true_ms(pair)
    peak = float(true_peak(pair, request.max_batch))
    match request.objective:
        case Objective.ACCURACY:
            return accuracy, ms, peak
        case Objective.LATENCY:
            return ms, accuracy, peak
        case Objective.MEMORY:
            return peak, accuracy, ms


@dataclass
class Score:
    """Of one rule. The regrets are means over the questions that it answered soundly:
    `accuracy_lost` in shares of FP32's best hits, times and peaks as ratios to the oracle's minus
    one."""

    questions: int = 0
    answerable: int = 0  # something fits and is accurate enough
    over_budget: int = 0
    below_floor: int = 0
    refused_though_possible: int = 0
    sound: int = 0
    accuracy_lost: float = 0.0
    time_regret: float = 0.0
    memory_regret: float = 0.0

    def add(self, version: VersionRow, request: Request, chosen: Pair | None) -> None:
        oracle = find_oracle(version, request)
        self.questions += 1
        self.answerable += oracle is not None
        if chosen is None:
            self.refused_though_possible += oracle is not None
            return
        over = true_peak(chosen, request.max_batch) > budget_of(request)
        below = accuracy_of(version, chosen) < (request.min_accuracy or 0.0)
        self.over_budget += over
        self.below_floor += below
        if over or below or oracle is None:
            return
        self.sound += 1
        batch = request.max_batch
        self.accuracy_lost += accuracy_of(version, oracle) - accuracy_of(version, chosen)
        self.time_regret += true_ms(chosen) / true_ms(oracle) - 1
        self.memory_regret += true_peak(chosen, batch) / true_peak(oracle, batch) - 1

    def to_json(self) -> dict[str, float]:
        means = {
            name: getattr(self, name) / self.sound if self.sound else 0.0
            for name in ("accuracy_lost", "time_regret", "memory_regret")
        }
        return {**asdict(self), **means}


def ask(
    version: VersionRow, objective: Objective, floor: float | None, budgets: int
) -> Iterator[Request]:
    for batch in sorted({profile.batch for row in version.artifacts for profile in row.profiles}):
        peaks = [true_peak(pair, batch) for pair in pairs_of(version)]
        low, high = math.log(min(peaks) * 0.5), math.log(max(peaks) * 1.5)
        for step in range(budgets):
            budget = int(math.exp(low + (high - low) * step / (budgets - 1)))
            yield Request(
                CPU,
                budget_bytes=budget,
                max_batch=batch,
                objective=objective,
                min_accuracy=floor,
            )


def run(versions: Sequence[VersionRow], budgets: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for objective, floor in OBJECTIVES:
        scores = {name: Score() for name in RULES}
        for version in versions:
            for request in ask(version, objective, floor, budgets):
                for name, rule in RULES.items():
                    scores[name].add(version, request, rule(version, request))
        found[str(objective)] = {
            "min_accuracy": floor,
            "rules": {name: score.to_json() for name, score in scores.items()},
        }
    return found


def check_estimates(versions: Sequence[VersionRow]) -> list[dict[str, Any]]:
    """What would be estimated from file sizes, over what was measured."""
    return [
        {
            "model": version.model,
            "tower": row.tower,
            "variant": row.variant,
            "batch": profile.batch,
            "estimate_over_measured": predict_peak(
                replace(row, profiles=()),
                device_class=profile.device,
                provider=profile.provider,
                batch=profile.batch,
            ).peak_bytes
            / profile.peak_bytes,
            "measured_over_files": profile.peak_bytes / row.size_bytes,
        }
        for version in versions
        for row in version.artifacts
        for profile in row.profiles
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budgets", type=int, default=BUDGETS)
    parser.add_argument("--out", type=Path, default=RESULTS / "resolver.json")
    options = parser.parse_args()
    versions = [load_version(name) for name in SOURCES]
    found = run(versions, options.budgets)
    for objective, result in found.items():
        floor = f", at least {result['min_accuracy']:.0%}" if result["min_accuracy"] else ""
        print(f"\n{objective}{floor}")
        for name, score in result["rules"].items():
            print(
                f"  {name:32s} over budget {score['over_budget']:3d} "
                f"below floor {score['below_floor']:3d} "
                f"refused though possible {score['refused_though_possible']:3d} "
                f"sound {score['sound']:3d} of {score['answerable']} "
                f"accuracy lost {score['accuracy_lost']:.2%} "
                f"time {score['time_regret']:+.1%} memory {score['memory_regret']:+.1%}"
            )
    estimates = check_estimates(versions)
    ratios = [row["estimate_over_measured"] for row in estimates]
    least = min(row["measured_over_files"] for row in estimates)
    print(
        f"\nEstimates from files: {min(ratios):.2f} to {max(ratios):.2f} times the measured peak."
    )
    print(f"The least measured peak is {least:.2f} of its files.")
    for version in versions:
        peaks = [true_peak(pair, 8) for pair in pairs_of(version)]
        print(f"{version.model}: pairs from {format_size(min(peaks))} to {format_size(max(peaks))}")
    result = {
        "sources": SOURCES,
        "budgets": options.budgets,
        "objectives": found,
        "estimates": estimates,
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"Wrote {options.out}.")


if __name__ == "__main__":
    main()
