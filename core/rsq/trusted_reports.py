"""What many sources measured of one thing, such that no single one can decide it.

Every source has its say once, however often it reports, and a median decides. So a node that lies
can move the outcome only as far as its honest neighbours' reports reach.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rsq.records import PUBLISHER, Profile

# The publisher counts twice, so it takes three nodes that agree to outweigh it: with fewer, one
# liar and one accident would do.
PUBLISHER_VOTES = 2
# Where the publisher measured nothing: the fewest votes of which one may be a lie.
MIN_NODES = 3
# However many nodes say so, they move what the publisher measured on the same device class by no
# more than this factor: a node is made up more cheaply than a publisher, and one kind of device
# doesn't differ by more.
NODE_FACTOR = 2.0
# A median absolute deviation as a standard deviation of normal noise.
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Believed:
    """`value` is the median of the votes, `spread` a standard deviation that outliers don't
    stretch. `nodes` and `publisher` say who voted."""

    value: float
    spread: float
    nodes: int
    publisher: bool


def collect_votes(
    profiles: Iterable[Profile], value_of: Callable[[Profile], float]
) -> dict[int, dict[str, float]]:
    """By batch and source: the median of what the source reported. Values that can't be measured
    (not finite, not positive) count as not reported."""
    reported: dict[int, dict[str, list[float]]] = {}
    for profile in profiles:
        value = value_of(profile)
        if profile.batch > 0 and math.isfinite(value) and value > 0:
            by_source = reported.setdefault(profile.batch, {})
            by_source.setdefault(profile.source, []).append(value)
    return {
        batch: {source: statistics.median(values) for source, values in by_source.items()}
        for batch, by_source in reported.items()
    }


def believe(votes: Mapping[str, float]) -> Believed | None:
    """The outcome of votes by source, or None where there are too few to believe."""
    publisher = votes.get(PUBLISHER)
    nodes = [value for source, value in votes.items() if source != PUBLISHER]
    if publisher is None and len(nodes) < MIN_NODES:
        return None
    ballots = nodes + [publisher] * PUBLISHER_VOTES if publisher is not None else nodes
    value = _median(ballots)
    spread = _MAD_TO_SIGMA * _median([abs(ballot - value) for ballot in ballots])
    if publisher is not None:
        value = min(max(value, publisher / NODE_FACTOR), publisher * NODE_FACTOR)
    return Believed(value, spread, len(nodes), publisher is not None)


def _median(values: Sequence[float]) -> float:
    """Of an even number the lower one: a value that somebody measured, and two nodes against the
    publisher's two votes change nothing upwards."""
    return statistics.median_low(values)
