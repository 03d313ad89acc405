"""Which artifacts a node should run: a pure function over the registry's rows.

Input are the version, the towers wanted, the memory budget and the facts of the device; output are
the chosen artifacts, the predicted peak with its margin, and every candidate with a reason. No SQL,
no clock, no files: the server, the agent offline and a mirror decide alike.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from rsq.errors import NotFound, NothingFits
from rsq.manifest import TOWERS, Tower
from rsq.prediction import Prediction, predict_peak, profiles_on
from rsq.records import ArtifactRow, VersionRow
from rsq.units import format_size

DEFAULT_MAX_BATCH = 8


class Reason(StrEnum):
    """Stable codes; scripts may rely on them."""

    FITS = "FITS"  # chosen
    OVER_BUDGET = "OVER_BUDGET"
    LESS_ACCURATE = "LESS_ACCURATE"
    SLOWER = "SLOWER"
    NO_PROVIDER = "NO_PROVIDER"
    UNMEASURED = "UNMEASURED"
    NOT_PINNED = "NOT_PINNED"


@dataclass(frozen=True)
class Device:
    """The facts of a node that the rule reads."""

    device_class: str  # as in Profile.device: "cpu", or "cuda:" and the GPU's name
    providers: tuple[str, ...]  # preferred first


@dataclass(frozen=True)
class Request:
    device: Device
    towers: tuple[Tower, ...] = TOWERS
    budget_bytes: int | None = None  # for the chosen artifacts together; None: no limit
    max_batch: int = DEFAULT_MAX_BATCH
    pin: str | None = None  # only this variant; the budget still holds


@dataclass(frozen=True)
class Choice:
    tower: Tower
    variant: str
    id: str
    provider: str
    predicted_peak_bytes: int
    margin_bytes: int
    estimated: bool


@dataclass(frozen=True)
class Candidate:
    tower: Tower
    variant: str
    id: str
    reason: Reason
    detail: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Resolution:
    chosen: tuple[Choice, ...]
    candidates: tuple[Candidate, ...]
    predicted_peak_bytes: int


@dataclass(frozen=True)
class _Option:
    """A candidate that this device could run."""

    row: ArtifactRow
    provider: str
    prediction: Prediction
    p50_ms: float  # infinite where nothing was measured

    @property
    def peak_bytes(self) -> int:
        return self.prediction.peak_bytes


def resolve(version: VersionRow, request: Request) -> Resolution:
    """The most accurate artifacts that fit together, ties by latency, then by size and id.

    Raises NothingFits, with every candidate and its reason, when a tower is left without one, and
    NotFound for a version that was deleted.
    """
    if version.deleted_at is not None:
        raise NotFound(
            f"Version {version.version} of {version.model!r} was deleted on "
            f"{version.deleted_at[:10]}; pull another one."
        )
    # 1. Set aside what this device can't run or nobody has evaluated.
    options: dict[Tower, list[_Option]] = {tower: [] for tower in request.towers}
    refused: list[Candidate] = []
    for row in version.artifacts:
        if row.tower not in options:
            continue
        outcome = _consider(row, request)
        if isinstance(outcome, Candidate):
            refused.append(outcome)
        else:
            options[row.tower].append(outcome)
    # 2. Of all combinations that fit together take the best.
    best: tuple[_Option, ...] | None = None
    for combination in itertools.product(*options.values()):
        total = sum(option.peak_bytes for option in combination)
        if request.budget_bytes is not None and total > request.budget_bytes:
            continue
        if best is None or _rank(version, combination) < _rank(version, best):
            best = combination
    # 3. Give every candidate its reason.
    flat = [option for tower_options in options.values() for option in tower_options]
    candidates = refused + [_explain(version, option, best, options, request) for option in flat]
    candidates.sort(key=lambda candidate: (candidate.tower != "vision", candidate.variant))
    if best is None:
        raise NothingFits(
            _nothing_fits(version, options, request),
            candidates=[candidate.to_json() for candidate in candidates],
        )
    chosen = tuple(
        Choice(
            tower=option.row.tower,
            variant=option.row.variant,
            id=option.row.id,
            provider=option.provider,
            predicted_peak_bytes=option.peak_bytes,
            margin_bytes=option.prediction.margin_bytes,
            estimated=option.prediction.estimated,
        )
        for option in best
    )
    return Resolution(chosen, tuple(candidates), sum(c.predicted_peak_bytes for c in chosen))


def _consider(row: ArtifactRow, request: Request) -> _Option | Candidate:
    if request.pin not in (None, row.variant):
        return Candidate(
            row.tower, row.variant, row.id, Reason.NOT_PINNED, f"{request.pin} was asked for"
        )
    provider = next((name for name in request.device.providers if name in row.providers), None)
    if provider is None:
        return Candidate(
            row.tower,
            row.variant,
            row.id,
            Reason.NO_PROVIDER,
            f"made for {_names(row.providers)}; this node has {_names(request.device.providers)}",
        )
    if row.evaluation is None:
        return Candidate(
            row.tower, row.variant, row.id, Reason.UNMEASURED, "its accuracy was never measured"
        )
    prediction = predict_peak(
        row,
        device_class=request.device.device_class,
        provider=provider,
        batch=request.max_batch,
    )
    measured = profiles_on(row, request.device.device_class, provider)
    smallest = min((profile.batch for profile in measured), default=0)
    p50_ms = statistics.median(
        [profile.p50_ms for profile in measured if profile.batch == smallest] or [float("inf")]
    )
    return _Option(row, provider, prediction, p50_ms)


def accuracy_of(version: VersionRow, rows: Sequence[ArtifactRow]) -> float:
    """Share of first captions whose best image is FP32's: of the pair where it was measured, else
    the product over the artifacts, as if their misses were independent."""
    ids = {row.tower: row.id for row in rows}
    for pair in version.pairs:
        if pair.vision_id == ids.get("vision") and pair.text_id == ids.get("text"):
            return pair.metrics.get("top1_match", 0.0)
    return math.prod(
        row.evaluation.metrics.get("top1_match", 0.0) if row.evaluation else 0.0 for row in rows
    )


def _rank(version: VersionRow, combination: Sequence[_Option]) -> tuple[float, float, int, str]:
    """Smaller is better."""
    return (
        -accuracy_of(version, [option.row for option in combination]),
        sum(option.p50_ms for option in combination),
        sum(option.peak_bytes for option in combination),
        "".join(option.row.id for option in combination),
    )


def _explain(
    version: VersionRow,
    option: _Option,
    best: Sequence[_Option] | None,
    options: dict[Tower, list[_Option]],
    request: Request,
) -> Candidate:
    row = option.row
    kind = "estimated" if option.prediction.estimated else "measured"
    peak = f"{kind} peak {format_size(option.peak_bytes)} at batch {request.max_batch}"

    def say(reason: Reason, detail: str) -> Candidate:
        return Candidate(row.tower, row.variant, row.id, reason, detail)

    budget = request.budget_bytes
    if best is not None and option in best:
        limit = f" within {format_size(budget)}" if budget is not None else ""
        return say(Reason.FITS, f"the most accurate{limit}: {peak}")
    if budget is not None and option.peak_bytes > budget:
        return say(Reason.OVER_BUDGET, f"{peak}, budget {format_size(budget)}")
    others = best if best is not None else _smallest_others(row.tower, options)
    beside = [other for other in others if other.row.tower != row.tower]
    total = option.peak_bytes + sum(other.peak_bytes for other in beside)
    if budget is not None and total > budget:
        names = " and ".join(f"{other.row.tower} {other.row.variant}" for other in beside)
        return say(
            Reason.OVER_BUDGET,
            f"{peak}; with {names} {format_size(total)}, budget {format_size(budget)}",
        )
    if best is None:
        return say(Reason.FITS, f"{peak}, but another tower has nothing that fits")
    own = accuracy_of(version, [row, *(other.row for other in beside)])
    chosen = accuracy_of(version, [other.row for other in best])
    if own < chosen:
        return say(
            Reason.LESS_ACCURATE, f"same top-1 as FP32 {own:.2%}, the chosen one {chosen:.2%}"
        )
    rival = next(other for other in best if other.row.tower == row.tower)
    return say(
        Reason.SLOWER,
        f"as accurate as {rival.row.variant}, but {option.p50_ms:.1f} ms against "
        f"{rival.p50_ms:.1f} ms",
    )


def _smallest_others(tower: Tower, options: dict[Tower, list[_Option]]) -> list[_Option]:
    return [
        min(rows, key=lambda option: option.peak_bytes)
        for other, rows in options.items()
        if other != tower and rows
    ]


def _nothing_fits(
    version: VersionRow, options: dict[Tower, list[_Option]], request: Request
) -> str:
    name = f"{version.model}:{version.version}"
    empty = [tower for tower, rows in options.items() if not rows]
    if empty:
        pinned = f" {request.pin}" if request.pin else ""
        return f"{name} has no{pinned} {' and no '.join(empty)} artifact that this node can run."
    needed = sum(min(option.peak_bytes for option in rows) for rows in options.values())
    return (
        f"No artifact of {name} fits {format_size(request.budget_bytes or 0)}: the smallest "
        f"needs {format_size(needed)} at batch {request.max_batch}. Raise --vram, lower "
        "--max-batch, or pull one tower with --tower."
    )


def _names(providers: Sequence[str]) -> str:
    return ", ".join(name.removesuffix("ExecutionProvider") for name in providers) or "none"
