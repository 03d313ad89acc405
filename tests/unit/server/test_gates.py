from __future__ import annotations

import dataclasses
import math

import pytest
from tiny_artifacts import profile

from rsq.errors import BadInput, GateRefused
from rsq.providers import CPU_PROVIDER
from rsq.records import ArtifactEvaluation, ArtifactRow
from rsq.sharing import find_fault
from rsq_server.gates import Gates, Verdict, apply_gates, judge

HEALTHY = {
    "cosine_mean": 0.999,
    "spread_ratio": 1.01,
    "batch_cosine_min": 1.0,
    "padding_cosine_min": 1.0,
    "top1_match": 0.97,
    "recall_at_10_change": -0.004,
    "image_recall_at_10_change": 0.001,
}


def _row(
    variant: str,
    metrics: dict[str, float] | None = None,
    *,
    p50_ms: float = 1.0,
    providers: tuple[str, ...] = (CPU_PROVIDER,),
) -> ArtifactRow:
    identity = f"id of {variant}"
    evaluation = ArtifactEvaluation(identity, "d", "d" * 64, metrics or HEALTHY)
    profiles = (profile(identity, peak_bytes=1, p50_ms=p50_ms),)
    return ArtifactRow(identity, "vision", variant, 1, providers, True, evaluation, profiles)


def _verdict(row: ArtifactRow, gates: Gates | None = None) -> Verdict:
    return judge([_row("fp32"), row], gates or Gates())[row.id]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"cosine_mean": 0.9499}, "mean cosine to FP32 0.9499, floor 0.95"),
        ({"cosine_mean": math.nan}, "mean cosine"),
        ({"spread_ratio": 0.01}, "nearly constant outputs: 1.0%"),
        ({"spread_ratio": math.nan}, "nearly constant"),
        ({"batch_cosine_min": 0.9972}, "other vectors in a batch than alone: cosine 0.997200"),
        ({"batch_cosine_min": math.nan}, "in a batch"),
        ({"padding_cosine_min": 0.99}, "beside short and long texts: cosine 0.990000"),
    ],
)
def test_a_broken_artifact_is_refused_with_its_number(
    change: dict[str, float], sentence: str
) -> None:
    assert find_fault(HEALTHY) is None
    fault = find_fault({**HEALTHY, **change})
    assert fault is not None
    assert sentence in fault
    for variant in ("int8", "fp32"):
        verdict = _verdict(_row(variant, {**HEALTHY, **change}))
        assert verdict == Verdict("refused", fault)
        assert str(verdict) == f"refused: {fault}"


def test_verdicts_name_the_reference_and_what_was_never_evaluated() -> None:
    assert _verdict(_row("fp32")) == Verdict("reference")
    assert _verdict(_row("int8")) == Verdict("ok")
    bare = dataclasses.replace(_row("int8"), evaluation=None)
    assert str(_verdict(bare)) == "unmeasured"
    assert "never evaluated" in _verdict(bare).reason


@pytest.mark.parametrize(
    ("gates", "sentence"),
    [
        (Gates(min_top1=0.9701), "top-1 match 97.00%, asked for 97.01%"),
        (Gates(max_recall_drop=0.0039), "recall@10 of images by text falls by 0.40%, at most"),
        (Gates(min_top1=0.97), None),
        (Gates(max_recall_drop=0.004), None),
        (Gates(min_top1=0.0, max_recall_drop=1.0), None),
        (Gates(), None),
    ],
)
def test_the_users_gates_refuse_what_falls_short_and_never_fp32(
    gates: Gates, sentence: str | None
) -> None:
    verdict = _verdict(_row("int8"), gates)
    if sentence is None:
        assert verdict == Verdict("ok")
    else:
        assert verdict.is_refused
        assert sentence in verdict.reason
    assert _verdict(_row("fp32", {**HEALTHY, "top1_match": 0.1}), gates) == Verdict("reference")


def test_recall_may_not_fall_in_the_other_direction_either() -> None:
    row = _row("int8", {**HEALTHY, "image_recall_at_10_change": -0.02})
    verdict = _verdict(row, Gates(max_recall_drop=0.01))
    assert verdict == Verdict(
        "refused", "recall@10 of texts by image falls by 2.00%, at most 1.00%"
    )


def test_a_gate_on_recall_without_captions_is_unmeasured() -> None:
    bare = {name: value for name, value in HEALTHY.items() if "recall" not in name}
    verdict = _verdict(_row("int8", bare), Gates(max_recall_drop=0.01))
    assert verdict.status == "unmeasured"
    assert "no captions" in verdict.reason
    assert _verdict(_row("int8", bare)) == Verdict("ok")


@pytest.mark.parametrize("share", [-0.01, 1.01, 97.0, math.nan])
def test_gates_are_shares(share: float) -> None:
    with pytest.raises(BadInput, match=r"top-1 match is .*from 0 to 1"):
        Gates(min_top1=share)
    with pytest.raises(BadInput, match="recall drop"):
        Gates(max_recall_drop=share)


def test_slower_for_less_precision_is_refused_where_every_provider_was_measured() -> None:
    verdict = _verdict(_row("int8", p50_ms=2.0))
    assert verdict.is_refused
    assert verdict.reason == (
        "slower than fp32 on CPUExecutionProvider: p50 2.00 ms against 1.00 ms at batch 8"
    )


def test_a_provider_that_was_not_there_leaves_an_artifact_unmeasured_not_refused() -> None:
    row = _row("fp16", p50_ms=2.0, providers=(CPU_PROVIDER, "CUDAExecutionProvider"))
    verdict = _verdict(row)
    assert verdict.status == "unmeasured"
    assert verdict.reason.startswith("not measured on CUDAExecutionProvider; slower than fp32")
    bare = dataclasses.replace(_row("int8"), profiles=())
    assert _verdict(bare) == Verdict("unmeasured", "not measured on CPUExecutionProvider")


def test_a_version_is_refused_when_every_variant_is_and_all_verdicts_are_told() -> None:
    broken = {**HEALTHY, "cosine_mean": 0.5}
    rows = [_row("fp32"), _row("int8", broken), _row("int8-static", broken)]
    with pytest.raises(GateRefused, match=r"because of vision int8 \(refused: mean cosine") as e:
        apply_gates(rows)
    assert e.value.metadata["vision fp32"] == "reference"
    assert e.value.metadata["vision int8-static"].startswith("refused")
    kept = apply_gates(rows, keep_rejected=True)
    assert [verdict.is_refused for verdict in kept.values()] == [False, True, True]
    assert apply_gates(rows[:1])[rows[0].id] == Verdict("reference")


def test_one_refused_variant_is_told_and_the_others_pass() -> None:
    rows = [_row("fp32"), _row("int8", {**HEALTHY, "cosine_mean": 0.5}), _row("int8-static")]
    verdicts = apply_gates(rows)
    assert [verdicts[row.id].status for row in rows] == ["reference", "refused", "ok"]


def test_a_broken_fp32_refuses_the_version_whatever_is_kept() -> None:
    rows = [_row("fp32", {**HEALTHY, "batch_cosine_min": 0.9}), _row("int8")]
    with pytest.raises(GateRefused, match="vision fp32"):
        apply_gates(rows, keep_rejected=True)
