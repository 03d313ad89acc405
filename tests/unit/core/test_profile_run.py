from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from tiny_artifacts import build_artifact

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


def test_the_answer_says_what_ran_it_and_an_error_keeps_its_code(tmp_path: Path) -> None:
    artifact = build_artifact(tmp_path / "a", "text")
    (tmp_path / "manifest.json").write_bytes(artifact.manifest_bytes)
    job = Job(
        folder=str(artifact.folder),
        manifest=str(tmp_path / "manifest.json"),
        batch=1,
        provider=CPU_PROVIDER,
        threads=1,
        seconds=0.0,
        memory_bytes=None,
        cache_folder=None,
        allow_cpu=False,
    )
    answer = _answer(job)
    assert (answer["provider"], answer["notice"]) == (CPU_PROVIDER, None)
    (artifact.folder / "model.onnx").write_bytes(b"not a graph")
    broken = _answer(job)
    assert broken["code"] == "ENVIRONMENT"
    assert "can't load" in str(broken["error"])


def test_the_parent_imports_nothing_heavy() -> None:
    code = (
        "import sys, rsq.profiling;"
        "assert not {'numpy', 'PIL', 'tokenizers', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
