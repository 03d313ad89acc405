from __future__ import annotations

from pathlib import Path

import pytest
from tiny_artifacts import build_artifact

from rsq.errors import EnvironmentFault, GateRefused
from rsq.onnx_session import cpu_class
from rsq.providers import CPU_PROVIDER
from rsq_server.build.artifact import MANIFEST_NAME, BuiltArtifact
from rsq_server.build.profile import (
    DEFAULT_BATCHES,
    LARGEST_TIMED_BATCH,
    profile_artifact,
)


def _artifact(folder: Path, *, broken_probe: bool = False) -> BuiltArtifact:
    built = build_artifact(folder, "vision", broken_probe=broken_probe)
    (folder / MANIFEST_NAME).write_bytes(built.manifest_bytes)
    return BuiltArtifact(built.folder, built.manifest)


def test_each_batch_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    artifact = _artifact(tmp_path)
    profiles = profile_artifact(artifact, batches=(1, 4), threads=1)
    assert [profile.batch for profile in profiles] == [1, 4]
    for profile in profiles:
        assert (profile.artifact_id, profile.source) == (artifact.id, "publisher")
        assert (profile.device, profile.provider) == (cpu_class(), CPU_PROVIDER)
        assert (profile.workers, profile.threads) == (1, 1)
        assert 0 < profile.p50_ms <= profile.p95_ms
        assert profile.load_ms > 0
        assert profile.peak_bytes >= profile.steady_bytes >= 0
        # A process that imported torch would stand far above this.
        assert 10 << 20 < profile.baseline_bytes < 200 << 20


def test_the_largest_batch_is_measured_for_its_memory_alone(tmp_path: Path) -> None:
    *timed, largest = profile_artifact(_artifact(tmp_path), threads=1)
    assert [profile.batch for profile in (*timed, largest)] == list(DEFAULT_BATCHES)
    assert all(profile.batch <= LARGEST_TIMED_BATCH for profile in timed)
    assert all(profile.p50_ms < profile.p95_ms for profile in timed)
    assert largest.p50_ms == largest.p95_ms  # of one run
    assert largest.peak_bytes > 0


def test_an_artifact_that_a_fresh_process_cannot_load_is_named(tmp_path: Path) -> None:
    artifact = _artifact(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(EnvironmentFault, match="vision fp32 can't be profiled"):
        profile_artifact(artifact, batches=(1,), threads=1)


def test_an_artifact_whose_probe_fails_in_a_fresh_process_is_refused(tmp_path: Path) -> None:
    artifact = _artifact(tmp_path, broken_probe=True)
    with pytest.raises(GateRefused, match="vision fp32 fails in a fresh process"):
        profile_artifact(artifact, batches=(1,), threads=1)


def test_a_process_that_dies_is_an_error_that_names_the_artifact(tmp_path: Path) -> None:
    artifact = _artifact(tmp_path)
    # No memory holds a batch of this size.
    with pytest.raises(EnvironmentFault, match="vision fp32 can't be profiled"):
        profile_artifact(artifact, batches=(1 << 40,), threads=1)
