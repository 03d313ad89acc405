from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tiny_artifacts import build_version, profile

from rsq.manifest import TOWERS
from rsq.providers import CPU_PROVIDER
from rsq.records import ArtifactEvaluation, ArtifactRow
from rsq.resolve import Device, Request, resolve
from rsq_agent.cli.pull_report import MAX_RANKED, Memory, report
from rsq_agent.pulling.pull import PullPlan

MB = 10**6
VARIANTS = [f"v{number}" for number in range(6)]
REQUEST = Request(
    Device("cpu", (CPU_PROVIDER,)),
    budget_bytes=600 * MB,
    reserved_bytes=100 * MB,
    tower_budgets={"text": 300 * MB},
    min_accuracy=0.5,
)
MEMORY = Memory(8000 * MB, 4000 * MB)


def _plan(request: Request = REQUEST) -> PullPlan:
    rows = [
        ArtifactRow(
            f"{tower}-{name}",
            tower,
            name,
            MB,
            (CPU_PROVIDER,),
            True,
            ArtifactEvaluation("x", "set", "d" * 64, {"top1_match": 1 - place / 20}),
            (profile("x", peak_bytes=(200 - 10 * place) * MB, p50_ms=7.0),),
        )
        for tower in TOWERS
        for place, name in enumerate(VARIANTS)
    ]
    version = build_version(rows)
    return PullPlan(version, resolve(version, request), {}, (), 5 * MB, 0)


def _told(capsys: pytest.CaptureFixture[str], *, explained: bool) -> dict[str, Any]:
    plan = _plan()
    report(plan, plan.to_json(), REQUEST, MEMORY if explained else None, as_json=True)
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_json_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    told = _told(capsys, explained=True)
    explanation = told["explanation"]
    budget = explanation["budget"]
    assert budget["available_bytes"] == budget["budget_bytes"] - budget["reserved_bytes"]
    peaks = [choice["predicted_peak_bytes"] for choice in told["chosen"]]
    assert sum(peaks) == budget["predicted_peak_bytes"]
    assert budget["spare_bytes"] == budget["available_bytes"] - sum(peaks)
    assert budget["tower_budgets"] == {"text": 300 * MB}
    assert explanation["combinations"] == len(VARIANTS) ** 2
    assert len(explanation["ranking"]) == MAX_RANKED
    assert explanation["ranking"][0] == {
        "variants": {"vision": "v0", "text": "v0"},
        "accuracy": 1.0,
        "p50_ms": 14.0,
        "predicted_peak_bytes": sum(peaks),
        "reason": "FITS",
    }
    assert {choice["basis"] for choice in told["chosen"]} == {"measured by the publisher"}


def test_without_explain_there_is_no_ranking(capsys: pytest.CaptureFixture[str]) -> None:
    assert "explanation" not in _told(capsys, explained=False)


def test_the_explanation_shows_the_arithmetic(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    request = replace(REQUEST, pin="v1", min_accuracy=0.99)
    plan = _plan(request)
    report(plan, plan.to_json(), request, MEMORY, as_json=False)
    told = capsys.readouterr()
    for words in (
        "Node: cpu, 8 GB of memory, 4 GB free; runs CPUExecutionProvider.",
        "Asked for: accuracy, at least 99.00%, pinned to v1, batch 8.",
        "budget 600 MB less 100 MB reserved for collections",
        "190 MB",
        "measured by the publisher",
        "1 combination",
        "NOT_PINNED",
    ):
        assert words in told.out
    assert "Warning: The pinned v1 keeps 90.25%" in told.err
