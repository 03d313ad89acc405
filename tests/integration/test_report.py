"""From a stored version with its report data to the page that `rsq-server report` writes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from report_samples import make_details
from server_command import Result, run_server_command
from tiny_registry import store_version

from rsq.records import VersionRow
from rsq_registry.drafts import VersionDraft
from rsq_server.app import Stores, open_stores
from rsq_server.config import ServerConfig
from rsq_server.details import encode_details


@dataclass(frozen=True)
class World:
    home: Path
    version: VersionRow
    details_digest: str

    def report(self, *arguments: str) -> Result:
        return run_server_command("report", *arguments)

    @property
    def details_path(self) -> Path:
        digest = self.details_digest
        return self.home / "server" / "blobs" / "sha256" / digest[:2] / digest


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Version 1 without report data, and the same artifacts again as version 2 with them."""
    home = tmp_path / "home"
    monkeypatch.setenv("RSQ_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    with open_stores(ServerConfig(home / "server")) as stores:
        first = store_version(stores, tmp_path / "artifacts")
        digest = stores.blobs.put_bytes(encode_details(make_details()))
        second = stores.catalogue.add_version(_draft_again(stores, first, digest))
    return World(home, second, digest)


def _draft_again(stores: Stores, version: VersionRow, details_digest: str) -> VersionDraft:
    manifests = tuple(stores.catalogue.artifact_manifest(row.id) for row in version.artifacts)
    return VersionDraft(
        model=version.model,
        space_id=version.space_id,
        dimension=version.dimension,
        licence=version.licence,
        source=version.source,
        source_digest="c" * 64,
        artifacts=manifests,
        details_digest=details_digest,
    )


def test_the_page_has_what_was_recorded(world: World, tmp_path: Path) -> None:
    assert world.report("tiny:2", "-o", "page.html").code == 0
    page = (tmp_path / "page.html").read_text()
    for sign in (
        "port with large cargo ships",
        "data:image/jpeg;base64,",
        "layers.0.mlp",
        "The calibration images are darker",
        *(row.id for row in world.version.artifacts),
    ):
        assert sign in page
    assert "without report data" not in page


def test_a_version_without_report_data_says_so(world: World, tmp_path: Path) -> None:
    assert world.report("tiny:1", "-o", "page.html").code == 0
    page = (tmp_path / "page.html").read_text()
    assert "without report data" in page
    assert "<img" not in page


def test_reporting_again_writes_the_same_bytes(world: World, tmp_path: Path) -> None:
    pages = []
    for name in ("one.html", "two.html"):
        assert world.report("tiny", "-o", name).code == 0
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]


def test_stdout_gets_the_page_and_nothing_else(world: World, tmp_path: Path) -> None:
    assert world.report("tiny", "-o", "page.html").code == 0
    program = "from rsq_server.cli.main import main; main()"
    # Whatever the terminal's encoding, the page is UTF-8.
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(
        [sys.executable, "-c", program, "report", "tiny", "-o", "-"],
        capture_output=True,
        check=True,
        env=environment,
    )
    assert ended.stderr == b""
    assert ended.stdout == (tmp_path / "page.html").read_bytes()


@pytest.mark.parametrize("damage", ["other bytes", "gone"])
def test_damaged_report_data_are_not_shown(world: World, tmp_path: Path, damage: str) -> None:
    world.details_path.unlink()
    if damage == "other bytes":
        world.details_path.write_bytes(b"{}")
    result = world.report("tiny", "-o", "page.html")
    assert result.code == (5 if damage == "other bytes" else 3)
    assert result.err.count("\n") == 1
    assert not (tmp_path / "page.html").exists()
