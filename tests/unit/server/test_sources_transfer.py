"""The process around a download, when it misbehaves."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rsq.errors import InternalError
from rsq_server.sources.reference import HubReference
from rsq_server.sources.transfer import run_download

REFERENCE = HubReference("hf", "org/model")


def stand_in(path: Path, script: str) -> str:
    """An executable that runs `script` in place of the interpreter."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_a_process_that_dies_is_reported_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable = stand_in(tmp_path / "python", "echo 'out of luck.' >&2; exit 3")
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(InternalError, match=r"hf:org/model died with status 3: out of luck\.$"):
        run_download(REFERENCE)


def test_progress_arrives_in_order_before_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        '{"done": 1, "total": 4}',
        '{"done": 4, "total": 4}',
        '{"revision": "abc", "files": [["config.json", "/c/config.json", 4, "00"]]}',
    ]
    script = "\n".join(f"echo '{line}'" for line in lines)
    monkeypatch.setattr(sys, "executable", stand_in(tmp_path / "python", script))
    seen: list[tuple[int, int | None]] = []
    download = run_download(REFERENCE, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (4, 4)]
    assert download.revision == "abc"
    assert [(file.name, file.size_bytes) for file in download.files] == [("config.json", 4)]


def test_an_error_of_a_newer_release_stays_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """echo '{"code": "NEWER", "message": "New."}'"""
    monkeypatch.setattr(sys, "executable", stand_in(tmp_path / "python", script))
    with pytest.raises(InternalError, match=r"^New\.$"):
        run_download(REFERENCE)
