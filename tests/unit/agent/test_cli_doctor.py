from __future__ import annotations

import dataclasses
import json

import pytest
from typer.testing import CliRunner

from rsq_agent.cli.main import app
from rsq_agent.node import node_survey
from rsq_agent.node.node_facts import (
    ClockFacts,
    DiskFacts,
    GpuFacts,
    NodeFacts,
    PermissionFacts,
    PortFacts,
    RuntimeFacts,
    ServerFacts,
)

FACTS = NodeFacts(
    gpu=GpuFacts(fault="no library"),
    runtime=RuntimeFacts("1.32.0", ("onnxruntime",)),
    trials=(),
    clock=ClockFacts(9e9, 1.0),
    disk=DiskFacts("/data", 10**11),
    permissions=PermissionFacts("/data", 0o700, is_foreign=False),
    server=ServerFacts("127.0.0.1:7100", fault="Nothing answers."),
    port=PortFacts("127.0.0.1:7200"),
)


def _run(monkeypatch: pytest.MonkeyPatch, facts: NodeFacts, *options: str) -> tuple[int, str]:
    monkeypatch.setattr(node_survey, "collect_facts", lambda config: facts)
    result = CliRunner().invoke(app, ["doctor", *options])
    return result.exit_code, result.stdout


def test_warnings_alone_are_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    code, output = _run(monkeypatch, FACTS)
    assert code == 0
    assert "warn  server" in output


def test_a_failed_check_ends_with_13_in_both_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = dataclasses.replace(FACTS, disk=DiskFacts("/data", fault="Read-only file system"))
    code, output = _run(monkeypatch, broken)
    assert code == 13
    assert "fail  disk" in output
    code, output = _run(monkeypatch, broken, "--json")
    assert code == 13
    checks = {check["name"]: check["state"] for check in json.loads(output)["checks"]}
    assert checks["disk"] == "fail"
    assert checks["driver"] == "ok"
