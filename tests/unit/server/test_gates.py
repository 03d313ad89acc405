from __future__ import annotations

import math

import pytest

from rsq.errors import GateRefused
from rsq.records import ArtifactEvaluation, ArtifactRow
from rsq_server.gates import apply_gates, find_fault, verdict_of

HEALTHY = {"cosine_mean": 0.999, "spread_ratio": 1.01}


def _row(variant: str, metrics: dict[str, float] | None) -> ArtifactRow:
    evaluation = ArtifactEvaluation("a" * 64, "d", "d" * 64, metrics) if metrics else None
    return ArtifactRow("a" * 64, "vision", variant, 1, (), True, evaluation)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"cosine_mean": 0.9499}, "mean cosine to FP32 0.9499"),
        ({"cosine_mean": math.nan}, "mean cosine"),
        ({"spread_ratio": 0.01}, "nearly constant outputs: 1.0%"),
        ({"spread_ratio": math.nan}, "nearly constant"),
    ],
)
def test_a_broken_artifact_is_refused_with_its_number(
    change: dict[str, float], sentence: str
) -> None:
    assert find_fault(HEALTHY) is None
    fault = find_fault({**HEALTHY, **change})
    assert fault is not None
    assert sentence in fault
    assert verdict_of(_row("int8", {**HEALTHY, **change})) == f"refused: {fault}"


def test_verdicts_name_the_reference_and_what_was_never_measured() -> None:
    assert verdict_of(_row("fp32", HEALTHY)) == "reference"
    assert verdict_of(_row("int8", HEALTHY)) == "ok"
    assert verdict_of(_row("int8", None)) == "unmeasured"


def test_one_refused_artifact_refuses_the_version_and_every_verdict_is_told() -> None:
    rows = [_row("fp32", HEALTHY), _row("int8", {**HEALTHY, "cosine_mean": 0.5})]
    with pytest.raises(GateRefused, match=r"because of vision int8 \(refused: mean cosine") as e:
        apply_gates(rows)
    assert e.value.metadata["vision fp32"] == "reference"
    assert e.value.metadata["vision int8"].startswith("refused")
    apply_gates(rows[:1])
