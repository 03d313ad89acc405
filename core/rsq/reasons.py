"""Why each candidate was chosen or not, in a code and a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rsq.candidates import Option
from rsq.combinations import WHAT_MATTERS, Combination
from rsq.manifest import Tower
from rsq.records import VersionRow
from rsq.resolution import Candidate, Objective, Reason, Request
from rsq.units import format_size

_BEST = {
    Objective.ACCURACY: "the most accurate",
    Objective.LATENCY: "the fastest",
    Objective.MEMORY: "the smallest",
}

_SAME = {
    Reason.LESS_ACCURATE: "as accurate",
    Reason.SLOWER: "as fast",
    Reason.LARGER: "as small",
}


def explain(
    option: Option,
    combinations: Sequence[Combination],
    best: Combination | None,
    request: Request,
) -> Candidate:
    """One reason for `option`, judged by the best that it can be part of: a budget that none of its
    `combinations` keeps, else an accuracy that none reaches, else what decided against it."""
    reason, detail = _judge(option, combinations, best, request)
    row = option.row
    return Candidate(row.tower, row.variant, row.id, reason, detail)


def _judge(
    option: Option,
    combinations: Sequence[Combination],
    best: Combination | None,
    request: Request,
) -> tuple[Reason, str]:
    peak = describe_peak(option, request)
    if best is not None and option in best.options:
        return Reason.FITS, f"{_praise(request)}: {peak}"
    tower_budget = request.tower_budgets.get(option.row.tower)
    if tower_budget is not None and option.peak_bytes > tower_budget:
        tower = option.row.tower
        return Reason.OVER_BUDGET, f"{peak}, {tower} budget {format_size(tower_budget)}"
    available = request.available_bytes
    if available is not None and option.peak_bytes > available:
        return Reason.OVER_BUDGET, f"{peak}, {describe_budget(request)}"
    mine = [combination for combination in combinations if option in combination.options]
    if not mine:
        return Reason.FITS, f"{peak}, but another tower has nothing that this node can run"
    fitting = [combination for combination in mine if combination.fits(request)]
    if not fitting:
        return Reason.OVER_BUDGET, _describe_total(option, mine, request)
    accurate = [combination for combination in mine if combination.is_accurate_enough(request)]
    if not accurate:
        most = max(mine, key=lambda combination: combination.accuracy)
        return Reason.BELOW_ACCURACY, (
            f"same top-1 as FP32 {most.accuracy:.2%}{_beside(option, most)}, "
            f"asked for {request.min_accuracy or 0.0:.2%}"
        )
    able = [combination for combination in accurate if combination.fits(request)]
    if not able:
        total = _describe_total(option, accurate, request)
        return Reason.OVER_BUDGET, f"{total}; what fits beside it is not accurate enough"
    assert best is not None
    rival = min(able, key=lambda combination: combination.rank(request.objective))
    return _compare(option, rival, best, request.objective)


def describe_peak(option: Option, request: Request) -> str:
    kind = "estimated" if option.prediction.estimated else "measured"
    return f"{kind} peak {format_size(option.peak_bytes)} at batch {request.max_batch}"


def describe_budget(request: Request) -> str:
    if request.budget_bytes is None:
        return "no joint budget"
    if not request.reserved_bytes:
        return f"budget {format_size(request.budget_bytes)}"
    return (
        f"budget {format_size(request.budget_bytes)} less {format_size(request.reserved_bytes)} "
        "reserved"
    )


def describe_failure(
    version: VersionRow,
    options: Mapping[Tower, Sequence[Option]],
    combinations: Sequence[Combination],
    request: Request,
) -> str:
    """What NothingFits says: what is missing and what to do."""
    name = f"{version.model}:{version.version}"
    empty = [tower for tower, rows in options.items() if not rows]
    if empty:
        pinned = f" {request.pin}" if request.pin else ""
        return f"{name} has no{pinned} {' and no '.join(empty)} artifact that this node can run."
    accurate = [
        combination for combination in combinations if combination.is_accurate_enough(request)
    ]
    if not accurate:
        most = max(combination.accuracy for combination in combinations)
        return (
            f"No artifact of {name} keeps {request.min_accuracy or 0.0:.2%} of FP32's best hits: "
            f"the most accurate that this node can run keeps {most:.2%}. Lower --min-accuracy."
        )
    for tower, budget in request.tower_budgets.items():
        smallest = min((option.peak_bytes for option in options.get(tower, ())), default=0)
        if smallest > budget:
            return (
                f"No {tower} artifact of {name} fits {format_size(budget)}: the smallest needs "
                f"{format_size(smallest)} at batch {request.max_batch}. Raise --vram-{tower} or "
                "lower --max-batch."
            )
    smallest_pair = min(accurate, key=lambda combination: combination.peak_bytes)
    unknown = any(option.prediction.estimated for option in smallest_pair.options)
    enough = "" if request.min_accuracy is None or request.pin else " that is accurate enough"
    flags = ["--vram"] if request.budget_bytes is not None else []
    flags += [f"--vram-{tower}" for tower in request.tower_budgets]
    return (
        f"No artifact of {name}{enough} fits {_limits(request)}: the smallest "
        f"{'is estimated to need' if unknown else 'needs'} "
        f"{format_size(smallest_pair.peak_bytes)} at batch {request.max_batch}. Raise "
        f"{' or '.join(flags)}, lower --max-batch{' or --min-accuracy' if enough else ''}, or pull "
        "one tower with --tower."
    )


def _limits(request: Request) -> str:
    limits = [f"{tower} {format_size(size)}" for tower, size in request.tower_budgets.items()]
    if request.budget_bytes is not None:
        size = format_size(request.budget_bytes)
        if request.reserved_bytes:
            size += f" less {format_size(request.reserved_bytes)} reserved"
        limits.insert(0, size)
    return " and ".join(limits)


def _praise(request: Request) -> str:
    if request.pin is not None:
        return "pinned"
    words = _BEST[request.objective]
    if request.min_accuracy is not None:
        words += f" with same top-1 as FP32 of at least {request.min_accuracy:.2%}"
    if request.budget_bytes is not None:
        words += f" within {format_size(request.available_bytes or 0)}"
    return words


def _describe_total(option: Option, mine: Sequence[Combination], request: Request) -> str:
    smallest = min(mine, key=lambda combination: combination.peak_bytes)
    others = [str(other) for other in smallest.options if other is not option]
    peak = describe_peak(option, request)
    available = request.available_bytes
    if available is not None and smallest.peak_bytes > available:
        total = f"; with {' and '.join(others)} {format_size(smallest.peak_bytes)}" * bool(others)
        return f"{peak}{total}, {describe_budget(request)}"
    return f"{peak}; {' and '.join(others)} beside it is over its own budget"


def _beside(option: Option, combination: Combination) -> str:
    others = [str(other) for other in combination.options if other is not option]
    return f" with {' and '.join(others)}" if others else ""


def _compare(
    option: Option, rival: Combination, best: Combination, objective: Objective
) -> tuple[Reason, str]:
    """Why `rival`, the best with `option` in it, lost to `best`."""
    reason = rival.loses_by(best, objective)
    beside = _beside(option, rival)
    same = _name_common(reason, objective)
    match reason:
        case Reason.LESS_ACCURATE:
            detail = (
                f"{same}same top-1 as FP32 {rival.accuracy:.2%}{beside}, the chosen one "
                f"{best.accuracy:.2%}"
            )
        case Reason.SLOWER:
            detail = (
                f"{same}{format_ms(rival.p50_ms)}{beside}, the chosen one {format_ms(best.p50_ms)}"
            )
        case Reason.LARGER:
            detail = (
                f"{same}{format_size(rival.peak_bytes)}{beside}, the chosen one "
                f"{format_size(best.peak_bytes)}"
            )
        case _:
            detail = f"as good as the chosen one{beside}; the lower id was taken"
    return reason, detail


def _name_common(reason: Reason, objective: Objective) -> str:
    """What matters more than `reason`, in which the two are alike."""
    order = WHAT_MATTERS[objective]
    words = [_SAME[other] for other in order[: order.index(reason)]] if reason in order else []
    return f"{' and '.join(words)}, but " if words else ""


def format_ms(milliseconds: float) -> str:
    if math.isinf(milliseconds):
        return "latency not measured here"
    return f"{milliseconds:.1f} ms"
