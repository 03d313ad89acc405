"""What a user should know of a choice that was made as asked: sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rsq.candidates import Option, find_provider, to_option
from rsq.combinations import Combination
from rsq.records import VersionRow
from rsq.resolution import Objective, Request, Resolution

REFERENCE = "fp32"


def advise(
    version: VersionRow,
    best: Combination,
    options: Sequence[Option],
    request: Request,
    speeds: Mapping[str, float],
    unpinned: Resolution | None,
) -> list[str]:
    """`options` are all that were compared, `unpinned` is the choice without the pin."""
    device = request.device.device_class
    found = []
    if request.pin is not None:
        found += _advise_on_pin(best, request, unpinned)
    for option in best.options:
        found += _advise_if_slower(version, option, request, speeds)
        if option.prediction.estimated:
            found.append(
                f"The memory of {option} was never measured on {device}: it is an estimate, "
                f"{option.prediction.basis}, with a wide margin."
            )
    unknown = [str(option) for option in options if math.isinf(option.p50_ms)]
    if unknown and request.objective is Objective.LATENCY:
        found.append(
            f"The latency of {', '.join(unknown)} was never measured on {device}; what was "
            "measured comes first."
        )
    return found


def _advise_on_pin(best: Combination, request: Request, unpinned: Resolution | None) -> list[str]:
    found = []
    if not best.is_evaluated:
        found.append(f"The accuracy of the pinned {request.pin} was never measured.")
    elif request.min_accuracy is not None and best.accuracy < request.min_accuracy:
        found.append(
            f"The pinned {request.pin} keeps {best.accuracy:.2%} of FP32's best hits, below the "
            f"{request.min_accuracy:.2%} asked for."
        )
    if unpinned is not None and {c.id for c in unpinned.chosen} != {o.row.id for o in best.options}:
        names = " and ".join(f"{choice.tower} {choice.variant}" for choice in unpinned.chosen)
        found.append(f"Without the pin, {names} would be chosen for {request.objective}.")
    return found


def _advise_if_slower(
    version: VersionRow, option: Option, request: Request, speeds: Mapping[str, float]
) -> list[str]:
    row = version.artifact(option.row.tower, REFERENCE)
    provider = find_provider(row, request.device) if row is not None else None
    if row is None or provider is None:
        return []
    reference = to_option(row, provider, request, speeds)
    if math.isinf(option.p50_ms) or reference.p50_ms >= option.p50_ms:
        return []
    return [
        f"{option} is slower than {REFERENCE} on {request.device.device_class}: "
        f"{option.p50_ms:.1f} ms against {reference.p50_ms:.1f} ms."
    ]
