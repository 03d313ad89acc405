"""The latency gate: a variant that gives up precision must be no slower for it, where it is for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rsq.records import PUBLISHER, ArtifactRow, Profile

# What two profiles of one artifact may differ by where nothing else runs: the runs inside one
# already spread by a tenth and more (p95 over p50 in docs/guide/results.md), and calls this short
# are ruled by the operating system's own timing. Where other work ran, a profile was seen off by a
# factor of two, which no margin covers: that is why every measured batch must say the same.
NOISE_SHARE = 0.10
NOISE_MS = 0.5

_PRECISION = re.compile(r"(?:fp|bf|int)(\d+)(?:-|$)")


@dataclass(frozen=True)
class Pace:
    """How one artifact compares on the providers that its recipe is for.

    `unmeasured`: those without a profile of the publisher. `slower`: a sentence for each provider
    on which it is slower, at every batch, than an artifact of higher precision. `measured`: how
    many have a profile.
    """

    unmeasured: tuple[str, ...]
    slower: tuple[str, ...]
    measured: int

    @property
    def is_slower_everywhere(self) -> bool:
        """Whether all providers were measured and none brings a gain."""
        return not self.unmeasured and 0 < self.measured == len(self.slower)


def precision_bits(variant: str) -> int | None:
    """The width of the numbers a variant computes with: 8 of "int8-mixed", 16 of "fp16". None for a
    name that says nothing of it, which nothing is compared with."""
    match = _PRECISION.match(variant)
    return int(match[1]) if match else None


def measure_pace(row: ArtifactRow, rows: Sequence[ArtifactRow]) -> Pace:
    """Compares `row` with those of `rows` that are of its tower and of higher precision, by the
    publisher's profiles on the same provider, device, batch, workers and threads.

    Where none of them was profiled like `row`, nothing says that it is slower.
    """
    measured = {profile.provider for profile in _published(row)}
    others = [other for other in rows if _is_more_precise(other, row)]
    found = (_find_slower(row, others, p) for p in row.providers if p in measured)
    return Pace(
        unmeasured=tuple(p for p in row.providers if p not in measured),
        slower=tuple(sentence for sentence in found if sentence),
        measured=len([p for p in row.providers if p in measured]),
    )


def _is_more_precise(other: ArtifactRow, row: ArtifactRow) -> bool:
    theirs, mine = precision_bits(other.variant), precision_bits(row.variant)
    return other.tower == row.tower and theirs is not None and mine is not None and theirs > mine


def _find_slower(row: ArtifactRow, others: Iterable[ArtifactRow], provider: str) -> str | None:
    mine = {_setting(p): p.p50_ms for p in _published(row) if p.provider == provider}
    for other in others:
        theirs = {_setting(p): p.p50_ms for p in _published(other) if p.provider == provider}
        shared = sorted(mine.keys() & theirs.keys())
        if shared and all(_is_slower(mine[key], theirs[key]) for key in shared):
            figures = ", ".join(
                f"p50 {mine[key]:.2f} ms against {theirs[key]:.2f} ms at batch {key[0]}"
                for key in shared
            )
            return f"slower than {other.variant} on {provider}: {figures}"
    return None


def _is_slower(mine_ms: float, theirs_ms: float) -> bool:
    return mine_ms > theirs_ms * (1 + NOISE_SHARE) and mine_ms > theirs_ms + NOISE_MS


def _setting(profile: Profile) -> tuple[int, str, int, int]:
    """What two profiles must have in common to be compared, the batch first."""
    return profile.batch, profile.device, profile.workers, profile.threads


def _published(row: ArtifactRow) -> list[Profile]:
    return [profile for profile in row.profiles if profile.source == PUBLISHER]
