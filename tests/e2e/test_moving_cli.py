"""A version carried from one registry to another by the commands, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_registry import fill_home

from rsq.records import VersionRow

COMMAND = str(Path(sys.executable).with_name("rsq-server"))
TIMEOUT_S = 120.0  # a hang, not slowness


@pytest.fixture
def version(tmp_path: Path) -> VersionRow:
    """In production in the registry `here`."""
    return fill_home(tmp_path / "here", tmp_path / "artifacts")[0]


def run(tmp_path: Path, home: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=tmp_path,
        env={**os.environ, "RSQ_HOME": str(tmp_path / home)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.mark.parametrize("options", [("-o", "moved"), ("--oci", "moved")])
def test_a_version_arrives_with_what_was_measured_of_it(
    version: VersionRow, tmp_path: Path, options: tuple[str, str]
) -> None:
    exported = run(tmp_path, "here", "export", "tiny", *options)
    imported = run(tmp_path, "there", "import", "moved", "--alias", "production")
    assert (exported.returncode, exported.stderr) == (0, "")
    assert (imported.returncode, imported.stderr) == (0, "")
    here, there = (
        json.loads(run(tmp_path, home, "show", "tiny", "--json").stdout)
        for home in ("here", "there")
    )
    assert {**there, "created_at": here["created_at"]} == here
    assert [artifact["id"] for artifact in there["artifacts"]] == [
        row.id for row in version.artifacts
    ]


def test_exports_of_the_same_version_are_the_same_bytes(
    version: VersionRow, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        assert run(tmp_path, "here", "export", "tiny", "-o", name).returncode == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
