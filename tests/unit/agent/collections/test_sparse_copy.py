"""Copies are equal to the byte and keep their holes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rsq_agent.collections import sparse_copy
from rsq_agent.collections.sparse_copy import allocated_bytes, copy_folder

MIB = 1 << 20


def make_sparse(path: Path, size: int, parts: dict[int, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
        for offset, data in parts.items():
            file.seek(offset)
            file.write(data)


def test_a_copy_has_the_same_bytes_and_the_same_holes(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    make_sparse(source / "empty", 0, {})
    make_sparse(source / "hole", 8 * MIB, {})
    make_sparse(source / "start", 8 * MIB, {0: b"begin"})
    make_sparse(source / "deep" / "middle", 8 * MIB, {3 * MIB + 17: b"middle", 5 * MIB: b"more"})
    make_sparse(source / "deep" / "end", 8 * MIB, {8 * MIB - 3: b"end"})
    make_sparse(source / "dense", 3 * MIB + 5, {0: bytes(range(256)) * (3 * MIB // 256) + b"tail!"})
    copy_folder(source, target)
    names = sorted(p.relative_to(source) for p in source.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(target) for p in target.rglob("*") if p.is_file())
    for name in names:
        assert (target / name).read_bytes() == (source / name).read_bytes(), name
    assert 3 * MIB <= allocated_bytes(target) < 5 * MIB


def test_an_existing_target_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    with pytest.raises(FileExistsError):
        copy_folder(tmp_path / "source", tmp_path / "target")


@pytest.mark.parametrize(("name", "is_left_out"), [("tmp-open-7", True), ("open-7", False)])
def test_only_an_unfinished_log_file_may_vanish_while_it_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_left_out: bool
) -> None:
    (tmp_path / "source").mkdir()
    for kept in (name, "points"):
        (tmp_path / "source" / kept).write_bytes(b"bytes")
    copy_file = sparse_copy._copy_file

    def vanish_first(source: str, target: str) -> str:
        (tmp_path / "source" / name).unlink(missing_ok=True)
        return copy_file(source, target)

    monkeypatch.setattr(sparse_copy, "_copy_file", vanish_first)
    if not is_left_out:
        with pytest.raises(shutil.Error, match=name):
            copy_folder(tmp_path / "source", tmp_path / "copy")
        return
    copy_folder(tmp_path / "source", tmp_path / "copy")
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["points"]
