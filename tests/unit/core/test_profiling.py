from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tiny_artifacts import TinyArtifact, build_artifact

from rsq.errors import EnvironmentFault, ProbeFailed
from rsq.profiling import measure, to_profile
from rsq.providers import CPU_PROVIDER


def _measure(artifact: TinyArtifact, tmp_path: Path, provider: str = CPU_PROVIDER) -> object:
    path = tmp_path / "manifest.json"
    path.write_bytes(artifact.manifest_bytes)
    return measure(artifact.folder, path, batch=4, provider=provider, threads=1, seconds=0.01)


def test_a_fresh_process_measures_and_proves_the_artifact(tmp_path: Path) -> None:
    artifact = build_artifact(tmp_path / "a", "text")
    measurement = _measure(artifact, tmp_path)
    profile = to_profile(
        measurement,  # type: ignore[arg-type]
        artifact_id=artifact.id,
        device="cpu",
        provider=CPU_PROVIDER,
        batch=4,
        threads=1,
        source="publisher",
    )
    assert 0 < profile.p50_ms <= profile.p95_ms
    assert profile.peak_bytes > 0
    assert profile.peak_bytes >= profile.steady_bytes
    # The runtime is imported before the baseline, so the baseline is a real process's.
    assert profile.baseline_bytes > 20_000_000
    assert profile.per_second == pytest.approx(4000 / profile.p50_ms, rel=0.9)


def test_memory_grows_with_what_is_loaded(tmp_path: Path) -> None:
    small = build_artifact(tmp_path / "a", "vision")
    files = small.manifest.files
    assert files[0].role == "graph"
    large = _grow(small, tmp_path / "b")
    gap = _measure(large, tmp_path).peak_bytes - _measure(small, tmp_path).peak_bytes  # type: ignore[attr-defined]
    assert gap > 30_000_000  # the weights alone are 40 MB


def _grow(artifact: TinyArtifact, folder: Path) -> TinyArtifact:
    """The same outputs with 40 MB of weights that a session must hold: an extra input row block
    multiplied by zero."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    folder.mkdir()
    for name in ("model.onnx.data", "probe.json"):
        (folder / name).write_bytes((artifact.folder / name).read_bytes())
    model = onnx.load(str(artifact.folder / "model.onnx"))
    width = 10_000_000 // 16
    model.graph.initializer.append(
        numpy_helper.from_array(np.ones((16, width), np.float32), "ballast")
    )
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((), np.float32), "zero"))
    model.graph.node[-1].output[0] = "raw"
    model.graph.node.extend(
        [
            helper.make_node("MatMul", ["raw", "ballast"], ["product"]),
            helper.make_node("ReduceMean", ["product"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
            helper.make_node("Add", ["raw", "nothing"], ["embedding"]),
        ]
    )
    onnx.save(model, str(folder / "model.onnx"))
    return dataclasses.replace(artifact, folder=folder)


def test_a_failed_probe_is_told_apart_from_a_broken_environment(tmp_path: Path) -> None:
    broken = build_artifact(tmp_path / "a", "text", broken_probe=True)
    with pytest.raises(ProbeFailed):
        _measure(broken, tmp_path)
    with pytest.raises(EnvironmentFault):
        _measure(broken, tmp_path, provider="NoSuchProvider")


def test_a_process_that_dies_is_reported(tmp_path: Path) -> None:
    artifact = build_artifact(tmp_path / "a", "text")
    (artifact.folder / "probe.json").unlink()
    with pytest.raises(EnvironmentFault, match="died"):
        _measure(artifact, tmp_path)
