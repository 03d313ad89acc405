"""What the resolver is asked and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from rsq.manifest import TOWERS, Tower

DEFAULT_MAX_BATCH = 8


class Objective(StrEnum):
    ACCURACY = "accuracy"  # the most accurate that fits; ties by latency
    LATENCY = "latency"  # the fastest that fits and is accurate enough
    MEMORY = "memory"  # the smallest that is accurate enough


class Reason(StrEnum):
    """Stable codes; scripts may rely on them."""

    FITS = "FITS"  # chosen, or nothing is wrong with it but another tower has nothing
    OVER_BUDGET = "OVER_BUDGET"
    BELOW_ACCURACY = "BELOW_ACCURACY"
    LESS_ACCURATE = "LESS_ACCURATE"
    SLOWER = "SLOWER"
    LARGER = "LARGER"
    TIED = "TIED"  # as good in every respect; the ids decided
    NO_PROVIDER = "NO_PROVIDER"
    UNMEASURED = "UNMEASURED"
    NOT_PINNED = "NOT_PINNED"


@dataclass(frozen=True)
class Device:
    """The facts of a node that the rule reads."""

    device_class: str  # as in Profile.device
    providers: tuple[str, ...]  # preferred first


@dataclass(frozen=True)
class Request:
    """`reserved_bytes` of the budget are taken by something else, such as loaded collections.
    `tower_budgets` hold beside the joint budget. `min_accuracy` is the share of FP32's best hits
    that must stay the best. A pin overrules the objective and the accuracy, not the budgets."""

    device: Device
    towers: tuple[Tower, ...] = TOWERS
    budget_bytes: int | None = None  # for the chosen artifacts together; None: no limit
    max_batch: int = DEFAULT_MAX_BATCH
    pin: str | None = None  # only this variant
    objective: Objective = Objective.ACCURACY
    min_accuracy: float | None = None  # 0 to 1
    tower_budgets: Mapping[Tower, int] = field(default_factory=dict)
    reserved_bytes: int = 0
    node_id: str | None = None  # who asks: what it measured itself counts most

    @property
    def available_bytes(self) -> int | None:
        """What is left of the budget for artifacts; None: no limit."""
        if self.budget_bytes is None:
            return None
        return max(self.budget_bytes - self.reserved_bytes, 0)


@dataclass(frozen=True)
class Choice:
    """`basis` says where the predicted peak comes from; `p50_ms` is of the smallest measured batch,
    None where nobody measured it on this device class."""

    tower: Tower
    variant: str
    id: str
    provider: str
    predicted_peak_bytes: int
    margin_bytes: int  # part of the peak
    estimated: bool
    basis: str
    p50_ms: float | None


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
class Ranked:
    """One artifact of each tower together. `accuracy` is None where it was never measured."""

    variants: tuple[tuple[Tower, str], ...]
    accuracy: float | None
    p50_ms: float | None
    predicted_peak_bytes: int
    reason: Reason

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "variants": dict(self.variants)}


@dataclass(frozen=True)
class Resolution:
    """`ranking` are all combinations that could run here, the chosen one first, those that are over
    a budget or not accurate enough last. `warnings` are sentences."""

    chosen: tuple[Choice, ...]
    candidates: tuple[Candidate, ...]
    predicted_peak_bytes: int
    ranking: tuple[Ranked, ...] = ()
    warnings: tuple[str, ...] = ()
