"""The golden probe as a node replays it: broken artifacts are refused, healthy ones never. What it
does on a trained model is for bench/bench_probe.py to say."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_probe import Artifacts, activate_clean, build
from checkpoints import write_siglip_checkpoint
from probe_faults import faults_of, inject

from rsq.manifest import TOWERS, Tower

VARIANT = "int8"
# Another filter moves the vectors of random weights less than another device's rounding may.
SUBTLE = ("resize filter",)
FAULTS = [
    (tower, name) for tower in TOWERS for name in faults_of(tower) if not name.startswith(SUBTLE)
]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    folder = tmp_path_factory.mktemp("probed")
    return build(write_siglip_checkpoint(folder / "checkpoint"), ["fp32", VARIANT], folder)


@pytest.mark.parametrize(("tower", "fault"), FAULTS)
def test_a_broken_artifact_is_refused(
    artifacts: Artifacts, tmp_path: Path, tower: Tower, fault: str
) -> None:
    other = artifacts["text" if tower == "vision" else "vision", VARIANT]
    verdict = inject(faults_of(tower)[fault], artifacts[tower, VARIANT], other, tmp_path)
    assert verdict.caught, verdict.result


def test_healthy_artifacts_are_never_refused(artifacts: Artifacts) -> None:
    found = activate_clean(artifacts, 40)
    assert found["false_alarms"] == []
    assert len(found["least_margin_of_own_cosine"]) == len(artifacts)
