"""rsq_server.leftovers: only what nobody has touched for a week goes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from rsq_server.config import ServerConfig
from rsq_server.leftovers import AGE_SECONDS, remove_leftovers


@pytest.fixture
def config(tmp_path: Path) -> ServerConfig:
    return ServerConfig(tmp_path)


def _make(folder: Path, age_seconds: float) -> None:
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(b"12345")
    at = time.time() - age_seconds
    for path in (folder / "file", folder):
        os.utime(path, (at, at))


def test_old_folders_go_and_young_ones_stay(config: ServerConfig) -> None:
    _make(config.work_folder / "publish-old", AGE_SECONDS + 60)
    _make(config.work_folder / "publish-young", AGE_SECONDS - 60)
    _make(config.journal_folder / "old", AGE_SECONDS + 60)
    planned = remove_leftovers(config, dry_run=True)
    assert (config.work_folder / "publish-old").exists()
    assert remove_leftovers(config, dry_run=False) == planned
    assert [(one.path, one.size_bytes) for one in planned] == [
        ("work/publish-old", 5),
        ("searches/old", 5),
    ]
    assert [path.name for path in config.work_folder.iterdir()] == ["publish-young"]
    assert not list(config.journal_folder.iterdir())


def test_a_folder_whose_file_was_touched_lately_stays(config: ServerConfig) -> None:
    _make(config.work_folder / "publish-long", AGE_SECONDS + 60)
    os.utime(config.work_folder / "publish-long" / "file")
    assert remove_leftovers(config, dry_run=False) == []


def test_a_data_folder_without_any_is_fine(config: ServerConfig) -> None:
    assert remove_leftovers(config, dry_run=False) == []
