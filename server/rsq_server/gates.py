"""The quality gates: what an artifact must measure to be published. Pure functions over records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rsq.errors import BadInput, GateRefused
from rsq.records import ArtifactRow
from rsq.sharing import find_fault
from rsq_server.latency_gate import measure_pace

_RECALLS = {
    "recall_at_10_change": "recall@10 of images by text",
    "image_recall_at_10_change": "recall@10 of texts by image",
}
_REFERENCE = "fp32"

Status = Literal["reference", "ok", "unmeasured", "refused"]


@dataclass(frozen=True)
class Gates:
    """What the user asks for beyond the fixed floors, as shares 0..1: the least top-1 match, and
    the most that recall@10 may fall in either direction, both of an artifact with the other tower
    in FP32. None asks for nothing. Raises BadInput for anything else."""

    min_top1: float | None = None
    max_recall_drop: float | None = None

    def __post_init__(self) -> None:
        for name, share in (
            ("minimum top-1 match", self.min_top1),
            ("maximum recall drop", self.max_recall_drop),
        ):
            if share is not None and not 0 <= share <= 1:
                raise BadInput(f"The {name} is {share}; it is a share from 0 to 1.")


FIXED_GATES = Gates()


@dataclass(frozen=True)
class Verdict:
    """`reason` is empty for `reference` and `ok`."""

    status: Status
    reason: str = ""

    @property
    def is_refused(self) -> bool:
        return self.status == "refused"

    def __str__(self) -> str:
        """As tables show it: of the reasons, only that of a refusal."""
        return f"{self.status}: {self.reason}" if self.is_refused else self.status


def judge(rows: Sequence[ArtifactRow], gates: Gates = FIXED_GATES) -> dict[str, Verdict]:
    """The verdict on each of the artifacts of one version, by id.

    In this order: 1. never evaluated: unmeasured; 2. below a fixed floor: refused; 3. FP32: the
    reference, whatever the user's gates; 4. below the user's gates: refused; 5. slower, on every
    provider it is for, than an artifact of higher precision: refused; 6. not measured on a provider
    it is for, or by what a gate asks for: unmeasured, and stored like what passes.
    """
    return {row.id: _judge_one(row, rows, gates) for row in rows}


def apply_gates(
    rows: Sequence[ArtifactRow], gates: Gates = FIXED_GATES, *, keep_rejected: bool = False
) -> dict[str, Verdict]:
    """The verdicts of `judge` on `rows`, all artifacts that were asked for. What is refused is
    reported and not stored, unless `keep_rejected`.

    Raises GateRefused where nothing would be left to publish: FP32 is refused, or every artifact
    but FP32's is. Its metadata has every artifact's verdict, by tower and variant.
    """
    verdicts = judge(rows, gates)
    variants = [verdicts[row.id] for row in rows if row.variant != _REFERENCE]
    broken = any(verdicts[row.id].is_refused for row in rows if row.variant == _REFERENCE)
    empty = bool(variants) and all(verdict.is_refused for verdict in variants)
    if broken or (empty and not keep_rejected):
        names = {f"{row.tower} {row.variant}": verdicts[row.id] for row in rows}
        refused = [f"{name} ({verdict})" for name, verdict in names.items() if verdict.is_refused]
        raise GateRefused(
            f"Nothing was published, because of {'; '.join(refused)}.",
            metadata={name: str(verdict) for name, verdict in names.items()},
        )
    return verdicts


def _judge_one(row: ArtifactRow, rows: Sequence[ArtifactRow], gates: Gates) -> Verdict:
    if row.evaluation is None:
        return Verdict("unmeasured", "never evaluated against FP32")
    metrics = row.evaluation.metrics
    fault = find_fault(metrics)
    if fault is not None:
        return Verdict("refused", fault)
    if row.variant == _REFERENCE:
        return Verdict("reference")
    fault = _find_shortfall(metrics, gates)
    if fault is not None:
        return Verdict("refused", fault)
    pace = measure_pace(row, rows)
    if pace.is_slower_everywhere:
        return Verdict("refused", "; ".join(pace.slower))
    gaps = [f"not measured on {', '.join(pace.unmeasured)}"] if pace.unmeasured else []
    if gates.max_recall_drop is not None and not _RECALLS.keys() & metrics.keys():
        gaps.append("the evaluation set has no captions to measure recall with")
    if gaps:
        return Verdict("unmeasured", "; ".join([*gaps, *pace.slower]))
    return Verdict("ok")


def _find_shortfall(metrics: Mapping[str, float], gates: Gates) -> str | None:
    if gates.min_top1 is not None and not metrics["top1_match"] >= gates.min_top1:
        return f"top-1 match {metrics['top1_match']:.2%}, asked for {gates.min_top1:.2%}"
    if gates.max_recall_drop is None:
        return None
    for name, words in _RECALLS.items():
        if name in metrics and not -metrics[name] <= gates.max_recall_drop:
            return f"{words} falls by {-metrics[name]:.2%}, at most {gates.max_recall_drop:.2%}"
    return None
