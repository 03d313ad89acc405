"""Checks of records before they become rows. Reports come from nodes, so nothing is trusted: not a
length, not a sign, not a NaN (which SQLite would store as NULL)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rsq.digest import require_digest
from rsq.errors import BadInput
from rsq.records import ArtifactEvaluation, PairEvaluation, Profile
from rsq_registry.columns import MAX_TEXT_CHARACTERS, MAX_WORD_CHARACTERS

MAX_METRICS = 64  # of one evaluation
MAX_COUNT = 2**31 - 1  # PostgreSQL's INTEGER
MAX_BYTES = 2**63 - 1  # PostgreSQL's BIGINT


def require_text(value: str, what: str, *, limit: int = MAX_TEXT_CHARACTERS) -> str:
    """`value` if it is printable and has at most `limit` characters; raises BadInput otherwise."""
    if len(value) > limit:
        raise BadInput(f"The {what} has {len(value)} characters, over {limit}.")
    if not value.isprintable():
        raise BadInput(f"The {what} holds control or unprintable characters.")
    return value


def require_word(value: str, what: str) -> str:
    """`value` if it is a printable text of 1 to 128 characters; raises BadInput otherwise."""
    if not value:
        raise BadInput(f"The {what} is empty.")
    return require_text(value, what, limit=MAX_WORD_CHARACTERS)


def require_integer(value: int, what: str, *, low: int = 0, high: int = MAX_COUNT) -> int:
    """`value` if it is in `low`..`high`; raises BadInput otherwise."""
    if not low <= value <= high:
        raise BadInput(f"The {what} is {value}, outside {low}..{high}.")
    return value


def check_profile(profile: Profile) -> None:
    """Raises BadInput for a profile that can't be a measurement."""
    require_digest(profile.artifact_id)
    require_text(profile.device, "profile's device")
    require_word(profile.provider, "profile's provider")
    require_text(profile.source, "profile's source")
    for name in ("batch", "workers", "threads"):
        require_integer(getattr(profile, name), f"profile's {name}", low=1)
    for name in ("peak_bytes", "steady_bytes", "baseline_bytes"):
        require_integer(getattr(profile, name), f"profile's {name}", high=MAX_BYTES)
    for name in ("p50_ms", "p95_ms", "per_second", "load_ms"):
        value = getattr(profile, name)
        if not (math.isfinite(value) and value >= 0):
            raise BadInput(f"The profile's {name} is {value}, not a finite number from 0 on.")


def check_evaluation(evaluation: ArtifactEvaluation | PairEvaluation) -> None:
    """Raises BadInput for an evaluation whose data set or metrics are malformed."""
    require_word(evaluation.dataset, "evaluation's data set")
    require_digest(evaluation.dataset_digest)
    _check_metrics(evaluation.metrics)


def require_distinct(values: Sequence[str], what: str) -> None:
    """Raises BadInput when one of `values` comes twice."""
    if len(set(values)) != len(values):
        raise BadInput(f"The same {what} is listed twice.")


def _check_metrics(metrics: Mapping[str, float]) -> None:
    if len(metrics) > MAX_METRICS:
        raise BadInput(f"The evaluation has {len(metrics)} metrics, over {MAX_METRICS}.")
    for name, value in metrics.items():
        require_word(name, "metric's name")
        if not math.isfinite(value):
            raise BadInput(f"The metric {name!r} is {value}, not a finite number.")
