from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from rsq.durable import disk_failures, make_folder, publish_file, write_durably
from rsq.errors import EnvironmentFault, Exhausted


def test_a_write_replaces_the_whole_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "file"
    write_durably(path, b"one")
    write_durably(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_the_data_and_then_the_folder_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        is_folder = os.path.isdir(f"/proc/self/fd/{descriptor}")
        calls.append("folder" if is_folder else "file")
        real_fsync(descriptor)

    def replace(source: str, target: Path) -> None:
        calls.append("replace")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_durably(tmp_path / "file", b"data")
    assert calls == ["file", "replace", "folder"]


def test_a_failed_write_keeps_the_old_file_and_no_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_durably(path, b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_publish_moves_the_file_into_a_folder_it_makes(tmp_path: Path) -> None:
    source, target = tmp_path / "partial", tmp_path / "blobs" / "ab" / "final"
    source.write_bytes(b"data")
    publish_file(source, target)
    assert target.read_bytes() == b"data"
    assert not source.exists()
    make_folder(target.parent)  # an existing folder is fine


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_what_the_disk_says_becomes_a_sentence(number: int) -> None:
    with pytest.raises((Exhausted, EnvironmentFault)) as caught, disk_failures("x can't be kept"):
        raise OSError(number, os.strerror(number))
    is_full = number in (errno.ENOSPC, errno.EDQUOT)
    assert isinstance(caught.value, Exhausted) == is_full
    assert caught.value.message.startswith("x can't be kept: ")
    assert ("Free some space" in caught.value.message) == is_full
