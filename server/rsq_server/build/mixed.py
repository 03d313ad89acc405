"""Which parts of a tower stay at higher precision: sensitivities, a cost model, a bounded search.

1. Each unit (the layers that read one value: query, key and value together, or a layer of the MLP)
   is quantized alone, and what that costs the embeddings and the retrieval is measured.
2. From all-INT8, units move up one precision at a time, the one that removes most error for its
   cost first, which gives one path from the cheapest assignment to FP32.
3. Bisection finds the first assignment on the path that holds the floor, measured on the
   calibration set; what trials are left try to take single units back.

Costs come from a model, not from timings, so the same inputs and seed give the same assignment
wherever the kernels round alike. Every measurement is written to a journal, and a search that was
cut off goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rsq.durable import write_durably
from rsq.errors import GateRefused

Precision = Literal["token", "wide", "float"]
LADDER: tuple[Precision, ...] = ("token", "wide", "float")
Assignment = Mapping[str, Precision]


@dataclass(frozen=True)
class Unit:
    """`costs` of the unit at each precision, in milliseconds of the cost model."""

    name: str
    costs: Mapping[Precision, float]


@dataclass(frozen=True)
class Agreement:
    """Against FP32 on the calibration set: 1 - mean cosine, overlap@10, and of the neighbours among
    each query's first hits the share that is still in FP32's order."""

    embedding_error: float
    overlap: float
    order: float


@dataclass(frozen=True)
class Trial:
    """`raised` are the units above INT8 with their precision."""

    raised: dict[str, Precision]
    cost: float  # of the whole tower, as a multiple of all-INT8
    agreement: Agreement


@dataclass(frozen=True)
class SearchResult:
    assignment: dict[str, Precision]
    sensitivities: dict[str, Agreement]
    trials: tuple[Trial, ...]


Measure = Callable[[Assignment], Agreement]


class Journal:
    """Agreements by assignment, in a file that survives the process; None keeps them in memory."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, Agreement] = {}
        if path is not None and path.is_file():
            self._known = _read_journal(path)

    def measure(self, assignment: Assignment, measure: Measure) -> Agreement:
        return self._remember("trial", assignment, measure)

    def glance(self, assignment: Assignment, glance: Measure) -> Agreement:
        return self._remember("glance", assignment, glance)

    def _remember(self, kind: str, assignment: Assignment, measure: Measure) -> Agreement:
        levels = ",".join(f"{name}={level}" for name, level in sorted(assignment.items()))
        key = f"{kind}: {levels}"
        if key not in self._known:
            self._known[key] = measure(assignment)
            if self._path is not None:
                rows = {name: asdict(found) for name, found in self._known.items()}
                write_durably(self._path, json.dumps(rows).encode())
        return self._known[key]


def search(
    units: Sequence[Unit],
    measure: Measure,
    glance: Measure,
    *,
    floor: float,
    trials: int,
    journal: Journal,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> SearchResult:
    """The cheapest assignment found that keeps at least `floor` of FP32's order.

    `measure` takes the precision of every unit, `glance` measures on fewer inputs, for the
    sensitivities. Raises GateRefused, with the trials in its
    metadata, where nothing cheaper than all-FP32 holds the floor.
    """
    total = len(units) + trials + 2
    everything: dict[str, Precision] = {unit.name: "float" for unit in units}
    # 1. sensitivities
    sensitivities: dict[str, Agreement] = {}
    for done, unit in enumerate(units):
        advance(done, total)
        sensitivities[unit.name] = journal.glance({**everything, unit.name: "token"}, glance)
    # 2. the path
    token = journal.glance({unit.name: "token" for unit in units}, glance)
    wide = journal.glance({unit.name: "wide" for unit in units}, glance)
    tried: list[Trial] = []
    lowest = sum(unit.costs["token"] for unit in units)

    def attempt(assignment: Assignment) -> bool:
        advance(len(units) + 2 + len(tried), total)
        found = journal.measure(assignment, measure)
        raised: dict[str, Precision] = {
            name: level for name, level in assignment.items() if level != "token"
        }
        tried.append(Trial(raised, _cost(units, assignment) / lowest, found))
        return found.order >= floor

    cheapest: dict[str, Precision] = {unit.name: "token" for unit in units}
    if attempt(cheapest):
        return SearchResult(cheapest, sensitivities, tuple(tried))
    path = _climb(units, sensitivities, wide, token)
    # 3. bisection, then taking back; the end of the path is FP32 and needs no trial
    low, high = 0, len(path)
    while high - low > 1 and len(tried) < trials:
        middle = (low + high) // 2
        if attempt(path[middle - 1]):
            high = middle
        else:
            low = middle
    best = path[high - 1]
    if high == len(path):
        raise GateRefused(
            f"No assignment cheaper than FP32 keeps {floor:.2%} of FP32's order: "
            f"{len(tried)} were tried, the best keeps "
            f"{max(trial.agreement.order for trial in tried):.2%}.",
            metadata={_describe(trial): f"order {trial.agreement.order:.4f}" for trial in tried},
        )
    # Those that free most time for the error that they bring back come first.
    raised = [unit for unit in units if _saving(unit, best) > 0]
    for unit in sorted(raised, key=lambda u: _error(u, sensitivities) / _saving(u, best)):
        if len(tried) >= trials:
            break
        lower: dict[str, Precision] = {**best, unit.name: "token"}
        if attempt(lower):
            best = lower
    return SearchResult(dict(best), sensitivities, tuple(tried))


def _climb(
    units: Sequence[Unit],
    sensitivities: Mapping[str, Agreement],
    wide: Agreement,
    token: Agreement,
) -> list[dict[str, Precision]]:
    """The assignments from one step above all-INT8 up to all-FP32. A unit's error at "wide" is
    taken as the same share of its own at "token" as for the whole tower."""
    share = min(1.0, wide.embedding_error / max(token.embedding_error, 1e-12))
    level: dict[str, Precision] = {unit.name: "token" for unit in units}
    path: list[dict[str, Precision]] = []
    while any(found != "float" for found in level.values()):
        steps = [
            (_gain(unit, level[unit.name], target, sensitivities, share), unit.name, target)
            for unit in units
            for target in LADDER[LADDER.index(level[unit.name]) + 1 :]
            # A precision that costs more than FP32 buys nothing.
            if target == "float" or unit.costs[target] < unit.costs["float"]
        ]
        _, name, target = max(steps, key=lambda step: (step[0], step[1]))
        level[name] = target
        path.append(dict(level))
    return path


def _gain(
    unit: Unit,
    current: Precision,
    target: Precision,
    sensitivities: Mapping[str, Agreement],
    share: float,
) -> float:
    """The error that the step removes for each millisecond that it costs."""
    own = sensitivities[unit.name].embedding_error
    error = {"token": own, "wide": own * share, "float": 0.0}
    cost = max(unit.costs[target] - unit.costs[current], 1e-6)
    return (error[current] - error[target]) / cost


def _cost(units: Sequence[Unit], assignment: Assignment) -> float:
    return sum(unit.costs[assignment[unit.name]] for unit in units)


def _error(unit: Unit, sensitivities: Mapping[str, Agreement]) -> float:
    return sensitivities[unit.name].embedding_error


def _saving(unit: Unit, assignment: Assignment) -> float:
    return unit.costs[assignment[unit.name]] - unit.costs["token"]


def _describe(trial: Trial) -> str:
    raised = ", ".join(f"{name} {level}" for name, level in trial.raised.items()) or "all INT8"
    return f"{raised[:200]} (cost {trial.cost:.2f})"


def _read_journal(path: Path) -> dict[str, Agreement]:
    try:
        rows = json.loads(path.read_bytes())
        return {name: Agreement(**found) for name, found in rows.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # damaged or of another release: measured again
