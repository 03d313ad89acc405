"""The commands of the lifecycle, as a user runs them."""

from __future__ import annotations

from pathlib import Path

import pytest
from server_command import Result, run_server_command
from tiny_registry import fill_home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two versions of `tiny`, the first in production."""
    fill_home(tmp_path / "home", tmp_path / "files")
    monkeypatch.setenv("RSQ_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def _run(*arguments: str, code: int = 0) -> Result:
    done = run_server_command(*arguments)
    assert done.code == code, done.err + done.out
    return done


def _delete_blob(home: Path) -> Path:
    path = max((home / "server/blobs/sha256").glob("*/*"), key=lambda p: p.stat().st_size)
    path.unlink()
    return path


def test_deleting_collecting_and_verifying(home: Path) -> None:
    assert "production" in _run("delete", "tiny:1", "--yes", code=2).err
    assert "--yes" in _run("delete", "tiny:2", code=2).err
    assert "names no version" in _run("delete", "tiny", "--yes", code=2).err
    _run("delete", "tiny:2", "--yes")
    assert "DELETED" in _run("show", "tiny:2").out
    assert _run("show", "tiny:2", "--json").json()["deleted_at"] is not None
    planned = _run("gc", "--dry-run", "--json").json()
    assert planned["freed_bytes"] > 0
    assert {blob["reason"] for blob in planned["removed"]} == {"of tiny:2, which was deleted"}
    assert "Would free" in _run("gc", "--dry-run").out
    done = _run("gc", "--json").json()
    assert done["removed"] == planned["removed"]
    assert "Freed 0 B in 0 files" in _run("gc").out
    assert "right as stored" in _run("verify").out


def test_deprecating_is_shown_and_taken_back(home: Path) -> None:
    _run("deprecate", "tiny:2", "--reason", "wrong mean and std")
    assert "DEPRECATED: wrong mean and std" in _run("show", "tiny:2").out
    _run("deprecate", "tiny:2", "--undo")
    assert "DEPRECATED" not in _run("show", "tiny:2").out
    assert "--reason" in _run("deprecate", "tiny:2", code=2).err


def test_the_history_answers_what_production_was(home: Path) -> None:
    _run("alias", "set", "tiny", "production", "2")
    history = _run("alias", "history", "tiny", "--json").json()["events"]
    assert [(event["alias"], event["version"]) for event in history] == [
        ("production", 1),
        ("production", 2),
    ]
    then = _run("alias", "history", "tiny", "--at", history[0]["at"], "--json").json()["events"]
    assert [event["version"] for event in then] == [1]
    assert "no such alias" in _run("alias", "history", "tiny", "--at", "2020-01-01").out
    assert "2026-03-01" in _run("alias", "history", "tiny", "--at", "yesterday", code=2).err
    _run("alias", "remove", "tiny", "production")
    assert "removed" in _run("alias", "history", "tiny").out


def test_a_missing_file_is_named_and_the_command_fails(home: Path) -> None:
    path = _delete_blob(home)
    done = _run("verify", code=5)
    assert path.name[:12] in done.out
    assert "--repair-from" in done.err
    report = _run("verify", "--json", code=5).json()
    assert [one["fault"] for one in report["findings"]] == ["missing"]
    assert not report["clean"]
