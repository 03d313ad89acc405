"""`--latency-target` of `rsq-agent serve`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rsq.manifest import Tower

LatencyTarget = Annotated[
    list[str] | None,
    typer.Option(
        "--latency-target",
        help="Answer within this time or refuse at once: 200ms for both towers, text=50ms for one; "
        "may be repeated. Default: no target. Also as RSQ_LATENCY_TARGET.",
        metavar="[TOWER=]TIME",
        envvar="RSQ_LATENCY_TARGET",
    ),
]


def parse_latency_targets(texts: Sequence[str]) -> dict[Tower, float]:
    """Seconds by tower; what names a tower wins over what names none. Raises BadInput."""
    from rsq.errors import BadInput
    from rsq.manifest import TOWERS
    from rsq.units import parse_seconds

    common, own = {}, {}
    for text in texts:
        name, equals, time = text.rpartition("=")
        if not equals:
            common = dict.fromkeys(TOWERS, parse_seconds(time))
            continue
        tower = next((tower for tower in TOWERS if tower == name), None)
        if tower is None:
            raise BadInput(
                f"{name[:32]!r} is no tower; write a target like 200ms, "
                f"{' or '.join(f'{tower}=200ms' for tower in TOWERS)}."
            )
        own[tower] = parse_seconds(time)
    return {**common, **own}
