"""The quality gates: what an artifact must measure to be published. Pure functions over records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rsq.errors import GateRefused
from rsq.records import ArtifactRow

# An embedding this far from FP32's finds other images: on real scenes even stock dynamic INT8
# stays above 0.999, and only a broken recipe comes near this floor.
COSINE_MEAN_MIN = 0.95
# Healthy variants keep the spread of the embeddings within a few percent; constant outputs have
# none, and can still have a high cosine where all of FP32's vectors lie close together.
SPREAD_RATIO_MIN = 0.5

REFERENCE = "reference"
OK = "ok"
UNMEASURED = "unmeasured"
REFUSED = "refused"


def find_fault(metrics: Mapping[str, float]) -> str | None:
    """Why an artifact with these metrics is refused, or None."""
    # `not >=` also refuses NaN.
    if not metrics["cosine_mean"] >= COSINE_MEAN_MIN:
        return f"mean cosine to FP32 {metrics['cosine_mean']:.4f}, floor {COSINE_MEAN_MIN}"
    if not metrics["spread_ratio"] >= SPREAD_RATIO_MIN:
        return (
            f"nearly constant outputs: {metrics['spread_ratio']:.1%} of FP32's spread, "
            f"floor {SPREAD_RATIO_MIN:.0%}"
        )
    return None


def verdict_of(row: ArtifactRow) -> str:
    """`reference`, `ok`, `unmeasured`, or `refused:` with the reason."""
    if row.evaluation is None:
        return UNMEASURED
    fault = find_fault(row.evaluation.metrics)
    if fault is not None:
        return f"{REFUSED}: {fault}"
    return REFERENCE if row.variant == "fp32" else OK


def apply_gates(rows: Sequence[ArtifactRow]) -> None:
    """Raises GateRefused where an artifact is refused; its metadata has every artifact's verdict,
    by tower and variant."""
    verdicts = {f"{row.tower} {row.variant}": verdict_of(row) for row in rows}
    refused = [f"{name} ({text})" for name, text in verdicts.items() if text.startswith(REFUSED)]
    if refused:
        raise GateRefused(
            f"Nothing was published, because of {'; '.join(refused)}.", metadata=verdicts
        )
