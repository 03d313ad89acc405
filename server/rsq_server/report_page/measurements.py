"""Which of a version's profiles may be compared: those of one machine, taken in one way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rsq.records import PUBLISHER, ArtifactRow, Profile


@dataclass(frozen=True)
class Setting:
    """How the publisher measured, batch aside."""

    device: str
    provider: str
    workers: int
    threads: int

    def __str__(self) -> str:
        return (
            f"{self.device}, {self.provider}, {_count(self.workers, 'worker')}, "
            f"{_count(self.threads, 'thread')}"
        )


def find_common_setting(rows: Sequence[ArtifactRow]) -> Setting | None:
    """The setting with which the publisher measured the most of `rows`, the first of several; None
    where nothing was measured."""
    counts = Counter(
        setting
        for row in rows
        for setting in dict.fromkeys(_setting_of(profile) for profile in _published(row))
    )
    return counts.most_common(1)[0][0] if counts else None


def list_batches(rows: Sequence[ArtifactRow], setting: Setting | None) -> list[int]:
    """The batch sizes measured with `setting`, smallest first."""
    return sorted({p.batch for row in rows for p in _published(row) if _setting_of(p) == setting})


def find_profile(row: ArtifactRow, setting: Setting | None, batch: int | None) -> Profile | None:
    """The publisher's newest profile of `row` with `setting` at `batch`."""
    found = [p for p in _published(row) if (_setting_of(p), p.batch) == (setting, batch)]
    return found[-1] if found else None


def find_ratio(reference: float | None, value: float | None) -> float | None:
    """How many times `value` goes into FP32's; None where either is unknown or 0."""
    return reference / value if reference and value else None


def _published(row: ArtifactRow) -> list[Profile]:
    return [profile for profile in row.profiles if profile.source == PUBLISHER]


def _setting_of(profile: Profile) -> Setting:
    return Setting(profile.device, profile.provider, profile.workers, profile.threads)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
