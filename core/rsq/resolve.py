"""Which artifacts a node should run: a pure function over the registry's rows.

Input are the version, the towers wanted, budgets, an objective and the facts of the device; output
are the chosen artifacts, the predicted peak with its margin, every candidate with a reason, and the
ranking of all combinations. No SQL, no clock, no files: the server, the agent offline and a mirror
decide alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rsq.advice import advise
from rsq.candidates import Option, find_provider, to_option
from rsq.combinations import Combination, accuracy_of, combine
from rsq.errors import BadInput, NotFound, NothingFits
from rsq.manifest import Tower
from rsq.prediction import Prediction, measure_speeds
from rsq.reasons import describe_failure, explain
from rsq.records import ArtifactRow, VersionRow
from rsq.resolution import (
    DEFAULT_MAX_BATCH,
    Candidate,
    Choice,
    Device,
    Objective,
    Ranked,
    Reason,
    Request,
    Resolution,
)

__all__ = [
    "resolve",
    "Request",
    "Resolution",
    "Device",
    "Objective",
    "Choice",
    "Candidate",
    "Ranked",
    "Reason",
    "DEFAULT_MAX_BATCH",
    "accuracy_of",
]


def resolve(version: VersionRow, request: Request) -> Resolution:
    """The best artifacts by the objective among those that fit together and are accurate enough.

    Raises NothingFits, with every candidate and its reason, when there is none, NotFound for a
    version that was deleted, and BadInput for an accuracy that is no share.
    """
    _check(version, request)
    # 1. Set aside what this device can't run, what wasn't asked for, and what nobody evaluated.
    options: dict[Tower, list[Option]] = {tower: [] for tower in request.towers}
    refused: list[Candidate] = []
    speeds = measure_speeds(version.artifacts, request.device.device_class)
    for row in sorted(version.artifacts, key=lambda row: row.id):
        if row.tower not in options:
            continue
        outcome = _consider(row, request, speeds)
        if isinstance(outcome, Candidate):
            refused.append(outcome)
        else:
            options[row.tower].append(outcome)
    # 2. Of all combinations that fit together and are accurate enough take the best.
    combinations = sorted(
        combine(version, options), key=lambda combination: combination.rank(request.objective)
    )
    able = [c for c in combinations if c.fits(request) and c.is_accurate_enough(request)]
    best = able[0] if able else None
    # 3. Give every candidate its reason.
    flat = [option for tower_options in options.values() for option in tower_options]
    candidates = refused + [explain(option, combinations, best, request) for option in flat]
    candidates.sort(key=lambda c: (c.tower != "vision", c.variant, c.id))
    if best is None:
        raise NothingFits(
            describe_failure(version, options, combinations, request),
            candidates=[candidate.to_json() for candidate in candidates],
        )
    # 4. Rank all combinations, and say what the user should know.
    ranking = [_to_ranked(combination, best, request) for combination in combinations]
    refusals = (Reason.BELOW_ACCURACY, Reason.OVER_BUDGET)
    ranking.sort(key=lambda ranked: ranked.reason in refusals)
    return Resolution(
        chosen=tuple(map(_to_choice, best.options, best.predictions)),
        candidates=tuple(candidates),
        predicted_peak_bytes=best.peak_bytes,
        ranking=tuple(ranking),
        warnings=tuple(
            advise(version, best, flat, request, speeds, _resolve_unpinned(version, request))
        ),
    )


def _resolve_unpinned(version: VersionRow, request: Request) -> Resolution | None:
    """What a pin overrules."""
    if request.pin is None:
        return None
    try:
        return resolve(version, replace(request, pin=None))
    except NothingFits:
        return None


def _check(version: VersionRow, request: Request) -> None:
    if version.deleted_at is not None:
        raise NotFound(
            f"Version {version.version} of {version.model!r} was deleted on "
            f"{version.deleted_at[:10]}; pull another one."
        )
    if request.min_accuracy is not None and not 0.0 <= request.min_accuracy <= 1.0:
        raise BadInput(f"An accuracy of {request.min_accuracy} is not a share from 0 to 1.")


def _consider(
    row: ArtifactRow, request: Request, speeds: Mapping[str, float]
) -> Option | Candidate:
    def refuse(reason: Reason, detail: str) -> Candidate:
        return Candidate(row.tower, row.variant, row.id, reason, detail)

    if request.pin not in (None, row.variant):
        return refuse(Reason.NOT_PINNED, f"{request.pin} was asked for")
    provider = find_provider(row, request.device)
    if provider is None:
        made_for, here = _names(row.providers), _names(request.device.providers)
        return refuse(Reason.NO_PROVIDER, f"made for {made_for}; this node has {here}")
    if row.evaluation is None and request.pin is None:
        return refuse(Reason.UNMEASURED, "its accuracy was never measured")
    return to_option(row, provider, request, speeds)


def _to_choice(option: Option, prediction: Prediction) -> Choice:
    return Choice(
        tower=option.row.tower,
        variant=option.row.variant,
        id=option.row.id,
        provider=option.provider,
        predicted_peak_bytes=prediction.peak_bytes,
        margin_bytes=prediction.margin_bytes,
        estimated=prediction.estimated,
        basis=prediction.basis,
        p50_ms=_known(option.p50_ms),
    )


def _to_ranked(combination: Combination, best: Combination, request: Request) -> Ranked:
    if combination is best:
        reason = Reason.FITS
    elif not combination.fits(request):
        reason = Reason.OVER_BUDGET
    elif not combination.is_accurate_enough(request):
        reason = Reason.BELOW_ACCURACY
    else:
        reason = combination.loses_by(best, request.objective)
    return Ranked(
        variants=tuple((option.row.tower, option.row.variant) for option in combination.options),
        accuracy=combination.accuracy if combination.is_evaluated else None,
        p50_ms=_known(combination.p50_ms),
        predicted_peak_bytes=combination.peak_bytes,
        reason=reason,
    )


def _known(milliseconds: float) -> float | None:
    return None if math.isinf(milliseconds) else milliseconds


def _names(providers: Sequence[str]) -> str:
    return ", ".join(name.removesuffix("ExecutionProvider") for name in providers) or "none"
