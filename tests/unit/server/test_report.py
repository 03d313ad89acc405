from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from tiny_artifacts import build_artifact, build_version, profile

from rsq.records import ArtifactEvaluation, PairEvaluation, VersionRow
from rsq_server.gates import Gates
from rsq_server.report import version_table_rows, version_to_json

METRICS = {
    "cosine_mean": 0.99912,
    "cosine_min": 0.99,
    "mean_abs_diff": 3e-4,
    "spread_ratio": 1.0,
    "top1_match": 0.977,
    "top3_match": 1.0,
    "recall_at_1_change": -0.001,
    "recall_at_5_change": 0.0,
    "recall_at_10_change": 0.002,
}


@pytest.fixture
def version(tmp_path: Path) -> VersionRow:
    rows = []
    for tower, variant in (("vision", "fp32"), ("text", "int8")):
        built = build_artifact(tmp_path / tower, tower, variant)  # type: ignore[arg-type]
        row = built.row()
        rows.append(
            dataclasses.replace(
                row,
                evaluation=ArtifactEvaluation(row.id, "aid-rsicd", "d" * 64, METRICS),
                profiles=(
                    profile(row.id, peak_bytes=97_400_000, batch=8, p50_ms=40.0),
                    profile(row.id, peak_bytes=50_000_000, batch=1, p50_ms=5.25),
                    dataclasses.replace(profile(row.id, peak_bytes=1, batch=32), source="node:abc"),
                ),
            )
        )
    pair = PairEvaluation(rows[0].id, rows[1].id, "aid-rsicd", "d" * 64, {"top1_match": 0.97})
    return dataclasses.replace(build_version(rows), pairs=(pair,))


def test_the_json_has_the_documented_shape(version: VersionRow) -> None:
    found = version_to_json(version)
    assert json.loads(json.dumps(found)) == found
    assert {"model", "version", "space_id", "artifacts", "pairs"} <= set(found)
    artifact = found["artifacts"][0]
    assert {"id", "tower", "variant", "size_bytes", "evaluation", "profiles"} <= set(artifact)
    assert METRICS.items() <= artifact["evaluation"].items()
    documented = {
        "device", "provider", "batch", "workers", "threads", "p50_ms", "p95_ms", "per_second",
        "peak_bytes", "steady_bytes", "source",
    }  # fmt: skip
    assert documented <= set(artifact["profiles"][0])
    assert len(artifact["profiles"]) == 3
    (pair,) = found["pairs"]
    assert (pair["vision"], pair["text"]) == ("fp32", "int8")
    assert pair["evaluation"]["top1_match"] == 0.97


def test_the_table_shows_the_publishers_numbers_of_the_json(version: VersionRow) -> None:
    rows = version_table_rows(version)
    assert [row["verdict"] for row in rows] == ["reference", "ok"]
    row = rows[1]
    assert row["peak memory, batch 1"] == "50 MB"
    assert row["peak memory, batch 8"] == "97.4 MB"
    assert row["p50 / p95 ms, batch 1"] == "5.2 / 10.5"
    assert row["cosine"] == "0.99912"
    assert row["top-1 match"] == "97.7%"
    assert row["recall@1/5/10 change"] == "-0.1% +0.0% +0.2%"
    # What nodes measured belongs to other machines, and is in the JSON.
    assert not [title for title in row if "32" in title]


def test_verdicts_are_those_of_the_gates_that_are_given(version: VersionRow) -> None:
    strict = Gates(min_top1=0.98)
    row = version_table_rows(version, strict)[1]
    assert row["verdict"] == "refused: top-1 match 97.70%, asked for 98.00%"
    reference, artifact = version_to_json(version, strict)["artifacts"]
    assert (reference["verdict"], reference["verdict_reason"]) == ("reference", "")
    assert artifact["verdict"] == row["verdict"]
    assert artifact["verdict_reason"] == "top-1 match 97.70%, asked for 98.00%"


def test_an_artifact_for_a_provider_that_was_not_there_says_so(version: VersionRow) -> None:
    providers = ("CPUExecutionProvider", "CUDAExecutionProvider")
    row = dataclasses.replace(version.artifacts[1], providers=providers)
    mixed = dataclasses.replace(version, artifacts=(version.artifacts[0], row))
    assert version_table_rows(mixed)[1]["verdict"] == "unmeasured"
    found = version_to_json(mixed)["artifacts"][1]
    assert found["verdict"] == "unmeasured"
    assert found["verdict_reason"] == "not measured on CUDAExecutionProvider"


def test_an_artifact_that_was_never_measured_has_empty_cells(version: VersionRow) -> None:
    bare = dataclasses.replace(version.artifacts[0], evaluation=None, profiles=())
    mixed = dataclasses.replace(version, artifacts=(bare, version.artifacts[1]), pairs=())
    first, second = version_table_rows(mixed)
    assert list(first) == list(second)
    assert first["cosine"] == first["p50 / p95 ms, batch 1"] == "-"
    assert first["verdict"] == "unmeasured"
    assert version_to_json(mixed)["artifacts"][0]["evaluation"] is None
