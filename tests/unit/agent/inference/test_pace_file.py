from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rsq_agent.inference.pace import Pace
from rsq_agent.inference.pace_file import MAX_TRIALS, PACE_SCHEMA, PaceFile, PaceKey

KEY = PaceKey("a" * 64, "vision", "int8", 95_000_000, "CPUExecutionProvider", 2, 8)
NEXT_VERSION = replace(KEY, artifact_id="b" * 64, size_bytes=95_000_321)
PACE = Pace(2, 1, 4, 10.5, trial_seconds=3.0, batch_seconds={1: 0.2, 4: 0.7})
BUSY = replace(PACE, was_busy=True)


@pytest.fixture
def paces(tmp_path: Path) -> PaceFile:
    return PaceFile(tmp_path / "paces.json")


def test_a_pace_is_remembered_beside_others(paces: PaceFile, tmp_path: Path) -> None:
    text = replace(KEY, tower="text")
    assert paces.read(KEY) is None
    paces.write(KEY, PACE)
    paces.write(text, replace(PACE, batch=1))
    assert PaceFile(tmp_path / "paces.json").read(KEY) == PACE
    assert paces.read(text) == replace(PACE, batch=1)


def test_the_next_version_of_a_network_needs_no_trial(paces: PaceFile) -> None:
    paces.write(KEY, PACE)
    assert paces.read(NEXT_VERSION) == PACE
    for other in (
        replace(NEXT_VERSION, variant="fp32"),
        replace(NEXT_VERSION, size_bytes=190_000_000),
        replace(NEXT_VERSION, threads=4),
        replace(NEXT_VERSION, max_batch=16),
        replace(NEXT_VERSION, provider="OpenVINOExecutionProvider"),
    ):
        assert paces.read(other) is None


def test_a_pace_of_a_busy_node_is_found_again_and_not_for_ever(paces: PaceFile) -> None:
    for _ in range(MAX_TRIALS):
        assert paces.read(KEY) is None
        assert paces.read(NEXT_VERSION) is None
        paces.write(KEY, BUSY)
    assert paces.read(KEY) == replace(BUSY, trials=MAX_TRIALS)


def test_a_quiet_trial_ends_the_doubt(paces: PaceFile) -> None:
    paces.write(KEY, BUSY)
    paces.write(KEY, PACE)
    assert paces.read(KEY) == replace(PACE, trials=2)


def test_a_trial_is_expected_to_take_what_the_last_ones_took(paces: PaceFile) -> None:
    other = replace(KEY, artifact_id="b" * 64, variant="fp32", size_bytes=400_000_000)
    assert paces.expected_trial_seconds(KEY) is None
    paces.write(KEY, BUSY)
    assert paces.expected_trial_seconds(KEY) == paces.expected_trial_seconds(other) == 3.0
    assert paces.expected_trial_seconds(replace(KEY, tower="text")) is None
    paces.write(KEY, PACE)
    assert paces.expected_trial_seconds(KEY) == paces.expected_trial_seconds(NEXT_VERSION) == 0.0
    assert (paces.last_trial_seconds(KEY), paces.last_trial_seconds(other)) == (3.0, 0.0)


def test_a_pace_of_an_earlier_version_has_no_times(paces: PaceFile, tmp_path: Path) -> None:
    paces.write(KEY, PACE)
    content = json.loads((tmp_path / "paces.json").read_text())
    del content["paces"][0]["pace"]["batch_seconds"]
    (tmp_path / "paces.json").write_text(json.dumps(content))
    assert paces.read(KEY) == replace(PACE, batch_seconds={})


def test_the_newest_are_kept(paces: PaceFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsq_agent.inference.pace_file.MAX_PACES", 3)
    keys = [replace(KEY, size_bytes=2 * 10**9 + 10**8 * n) for n in range(4)]
    for key in keys:
        paces.write(key, PACE)
    assert (paces.read(keys[0]), paces.read(keys[1]), paces.read(keys[-1])) == (None, PACE, PACE)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[" * 100_000,
        "[]",
        json.dumps({"schema": 1, "paces": {"a": {}}}),
        json.dumps({"schema": PACE_SCHEMA, "paces": 3}),
        json.dumps({"schema": PACE_SCHEMA, "paces": [{"key": {}, "pace": {}}]}),
    ],
)
def test_a_file_that_cannot_be_read_counts_as_empty(tmp_path: Path, content: str) -> None:
    (tmp_path / "paces.json").write_text(content)
    paces = PaceFile(tmp_path / "paces.json")
    assert paces.read(KEY) is None
    paces.write(KEY, PACE)
    assert paces.read(KEY) == PACE
