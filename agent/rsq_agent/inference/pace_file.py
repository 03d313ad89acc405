"""The paces found on this node, in paces.json.

A pace is the artifact's. Where it has none yet, that of another one counts which is the same
network with other weights: the next version of a model then serves without any trial.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rsq.durable import write_durably
from rsq_agent.inference.pace import Pace

PACE_SCHEMA = 2  # 1 had no networks, no trials and no times
# Files of one network with other weights differ by what a graph's names and constants take.
SAME_NETWORK = 0.01
# A trial on a busy node is made again at the next load, but not for ever: some are always busy.
MAX_TRIALS = 3
log = logging.getLogger("rsq.agent")
MAX_PACES = 64  # the newest are kept


@dataclass(frozen=True)
class PaceKey:
    """What a pace was found for."""

    artifact_id: str
    tower: str
    variant: str
    size_bytes: int
    provider: str
    threads: int
    max_batch: int

    def is_like(self, other: PaceKey) -> bool:
        """Whether both are one network on one device, run alike."""
        alike = replace(other, artifact_id=self.artifact_id, size_bytes=self.size_bytes) == self
        return alike and abs(self.size_bytes - other.size_bytes) <= SAME_NETWORK * self.size_bytes


class PaceFile:
    """A file that can't be read counts as empty: finding a pace again costs seconds. Methods may be
    called from several threads of one process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def read(self, key: PaceKey) -> Pace | None:
        """A pace to run with as it is; None where a trial is due."""
        paces = self._load()
        own = [pace for other, pace in paces if other == key]
        alike = [pace for other, pace in paces if key.is_like(other) and _is_settled(pace)]
        found = own or alike[-1:]
        return found[0] if found and _is_settled(found[0]) else None

    def expected_trial_seconds(self, key: PaceKey) -> float | None:
        """How long finding a pace will take: 0 where it is known, None where nothing like it was
        ever tried here."""
        if self.read(key) is not None:
            return 0.0
        seconds = [
            pace.trial_seconds
            for other, pace in self._load()
            if (other.tower, other.provider) == (key.tower, key.provider)
        ]
        return max(seconds, default=None)

    def last_trial_seconds(self, key: PaceKey) -> float:
        """What finding the pace of `key` itself took; 0 where it was never tried."""
        return sum(pace.trial_seconds for other, pace in self._load() if other == key)

    def write(self, key: PaceKey, pace: Pace) -> None:
        """Keeps `pace` in the place of an earlier one, and counts how often it was tried."""
        with self._lock:
            paces = self._load()
            trials = 1 + sum(known.trials for other, known in paces if other == key)
            kept = [(other, known) for other, known in paces if other != key]
            self._save([*kept, (key, replace(pace, trials=trials))][-MAX_PACES:])

    def _save(self, paces: Iterable[tuple[PaceKey, Pace]]) -> None:
        rows = [{"key": asdict(key), "pace": asdict(pace)} for key, pace in paces]
        data = json.dumps({"schema": PACE_SCHEMA, "paces": rows}, indent=1, sort_keys=True)
        try:
            write_durably(self._path, data.encode())
        except OSError as e:
            # It was found, and is found again at the next start.
            log.warning("%s can't be written (%s)", self._path, e.strerror)

    def _load(self) -> list[tuple[PaceKey, Pace]]:
        try:
            fields: dict[str, Any] = json.loads(self._path.read_bytes())
            rows = fields["paces"] if fields["schema"] == PACE_SCHEMA else []
            return [(PaceKey(**row["key"]), _read_pace(row["pace"])) for row in rows]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return []


def _read_pace(fields: dict[str, Any]) -> Pace:
    seconds = fields.get("batch_seconds", {})  # those found by earlier versions had none
    return Pace(**fields | {"batch_seconds": {int(n): float(seconds[n]) for n in seconds}})


def _is_settled(pace: Pace) -> bool:
    return not pace.was_busy or pace.trials >= MAX_TRIALS
