"""One artifact of each tower together: what a node would run, and how two of them compare."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from rsq.candidates import Option
from rsq.manifest import Tower
from rsq.prediction import Prediction, share
from rsq.records import ArtifactRow, VersionRow
from rsq.resolution import Objective, Reason, Request

# By objective: what decides, most important first, as the reason for losing by it.
WHAT_MATTERS = {
    Objective.ACCURACY: (Reason.LESS_ACCURATE, Reason.SLOWER, Reason.LARGER),
    Objective.LATENCY: (Reason.SLOWER, Reason.LESS_ACCURATE, Reason.LARGER),
    Objective.MEMORY: (Reason.LARGER, Reason.LESS_ACCURATE, Reason.SLOWER),
}


@dataclass(frozen=True)
class Combination:
    options: tuple[Option, ...]
    accuracy: float

    @cached_property
    def predictions(self) -> list[Prediction]:
        """Of each option beside the others; by itself it may need a little more."""
        alone = [option.prediction for option in self.options]
        one_runtime = len({option.provider for option in self.options}) == 1
        return share(alone) if one_runtime else alone

    @cached_property
    def peak_bytes(self) -> int:
        return sum(prediction.peak_bytes for prediction in self.predictions)

    @cached_property
    def p50_ms(self) -> float:
        return sum(option.p50_ms for option in self.options)

    @property
    def is_evaluated(self) -> bool:
        return all(option.row.evaluation is not None for option in self.options)

    def fits(self, request: Request) -> bool:
        available = request.available_bytes
        within_each = all(
            option.peak_bytes <= request.tower_budgets.get(option.row.tower, option.peak_bytes)
            for option in self.options
        )
        return within_each and (available is None or self.peak_bytes <= available)

    def is_accurate_enough(self, request: Request) -> bool:
        """Always with a pin: who names a variant has decided."""
        overruled = request.pin is not None or request.min_accuracy is None
        return overruled or self.accuracy >= (request.min_accuracy or 0.0)

    def rank(self, objective: Objective) -> tuple[float, float, float, str]:
        """Smaller is better. The objective decides, then what else matters, at last the ids."""
        ids = "".join(option.row.id for option in self.options)
        costs = {
            Reason.LESS_ACCURATE: -self.accuracy,
            Reason.SLOWER: self.p50_ms,
            Reason.LARGER: float(self.peak_bytes),
        }
        first, second, third = (costs[reason] for reason in WHAT_MATTERS[objective])
        return first, second, third, ids

    def loses_by(self, winner: Combination, objective: Objective) -> Reason:
        """The first of what matters in which this one is behind `winner`."""
        behind = {
            Reason.LESS_ACCURATE: self.accuracy < winner.accuracy,
            Reason.SLOWER: self.p50_ms > winner.p50_ms,
            Reason.LARGER: self.peak_bytes > winner.peak_bytes,
        }
        return next((reason for reason in WHAT_MATTERS[objective] if behind[reason]), Reason.TIED)


def combine(version: VersionRow, options: Mapping[Tower, Sequence[Option]]) -> list[Combination]:
    """All of them; none when a tower has no option."""
    pairs = {(pair.vision_id, pair.text_id): pair.metrics for pair in version.pairs}
    return [
        Combination(chosen, _accuracy(pairs, [option.row for option in chosen]))
        for chosen in itertools.product(*options.values())
    ]


def accuracy_of(version: VersionRow, rows: Sequence[ArtifactRow]) -> float:
    """Share of first captions whose best image is FP32's: of the pair where it was measured, else
    the product over the artifacts, as if their misses were independent."""
    pairs = {(pair.vision_id, pair.text_id): pair.metrics for pair in version.pairs}
    return _accuracy(pairs, rows)


def _accuracy(
    pairs: Mapping[tuple[str, str], Mapping[str, float]], rows: Sequence[ArtifactRow]
) -> float:
    ids = {row.tower: row.id for row in rows}
    metrics = pairs.get((ids.get("vision", ""), ids.get("text", "")))
    if metrics is not None:
        return metrics.get("top1_match", 0.0)
    return math.prod(
        row.evaluation.metrics.get("top1_match", 0.0) if row.evaluation else 0.0 for row in rows
    )
