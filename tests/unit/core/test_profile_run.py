from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_artifacts import TinyArtifact, build_artifact

from rsq import profile_run
from rsq.encoder import Encoder
from rsq.profiling import Job
from rsq.providers import CPU_PROVIDER


def _answer(job: Job) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "rsq.profile_run", json.dumps(asdict(job))],
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    return dict(json.loads(line))


def _job(artifact: TinyArtifact, folder: Path, *, batch: int, quick: bool) -> Job:
    (folder / "manifest.json").write_bytes(artifact.manifest_bytes)
    return Job(
        folder=str(artifact.folder),
        manifest=str(folder / "manifest.json"),
        batch=batch,
        provider=CPU_PROVIDER,
        threads=1,
        seconds=0.0,
        quick=quick,
        memory_bytes=None,
        cache_folder=None,
        allow_cpu=False,
    )


def test_the_answer_says_what_ran_it_and_an_error_keeps_its_code(tmp_path: Path) -> None:
    artifact = build_artifact(tmp_path / "a", "text")
    job = _job(artifact, tmp_path, batch=1, quick=False)
    answer = _answer(job)
    assert (answer["provider"], answer["notice"]) == (CPU_PROVIDER, None)
    (artifact.folder / "model.onnx").write_bytes(b"not a graph")
    broken = _answer(job)
    assert broken["code"] == "ENVIRONMENT"
    assert "can't load" in str(broken["error"])


@pytest.mark.parametrize(
    ("quick", "sizes"), [(False, [9, 1, 4, 9, 9, 9, 9, 9]), (True, [9, 1, 4, 9])]
)
def test_other_sizes_run_before_the_batch_that_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: bool, sizes: list[int]
) -> None:
    ran = []

    class Recording(Encoder):
        def embed_prepared(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
            ran.append(len(inputs))
            return super().embed_prepared(inputs)

    monkeypatch.setattr(profile_run, "Encoder", Recording)
    artifact = build_artifact(tmp_path / "a", "text")
    found = profile_run.run(_job(artifact, tmp_path, batch=9, quick=quick))
    assert ran[: len(sizes)] == sizes  # then the probe
    assert (found.p50_ms == found.p95_ms) is quick


def test_the_parent_imports_nothing_heavy() -> None:
    code = (
        "import sys, rsq.profiling;"
        "assert not {'numpy', 'PIL', 'tokenizers', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
