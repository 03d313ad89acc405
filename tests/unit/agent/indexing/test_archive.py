"""Finding images: all of them, once, in order, and without getting lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rsq.errors import BadInput
from rsq_agent.indexing.archive import find_images, image_uri


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def found(*paths: Path) -> list[Path]:
    return list(find_images(paths))


def test_images_come_sorted_files_before_subfolders(tmp_path: Path) -> None:
    make(tmp_path, "b.png", "a/z.tif", "c.JPEG", "a/y/x.jpg", "B.jpg")
    names = [path.relative_to(tmp_path).as_posix() for path in found(tmp_path)]
    assert names == ["B.jpg", "b.png", "c.JPEG", "a/z.tif", "a/y/x.jpg"]


def test_hidden_entries_and_other_files_are_skipped_below_a_folder(tmp_path: Path) -> None:
    make(tmp_path, ".hidden.jpg", ".cache/a.jpg", "notes.txt", "jpg", "a.jpg.part", "a.jpg")
    (tmp_path / "folder.jpg").mkdir()
    assert found(tmp_path) == [tmp_path / "a.jpg"]


def test_a_file_that_is_named_is_taken_as_it_is(tmp_path: Path) -> None:
    make(tmp_path, ".hidden.jpg", "scan.dat")
    named = [tmp_path / "scan.dat", tmp_path / ".hidden.jpg"]
    assert found(*named) == named


def test_an_image_comes_once_however_often_it_is_named(tmp_path: Path) -> None:
    make(tmp_path, "a/1.jpg", "a/2.jpg", "b/3.jpg")
    one = tmp_path / "a" / "1.jpg"
    assert found(one, tmp_path / "a", tmp_path, one) == [
        one,
        tmp_path / "a" / "2.jpg",
        tmp_path / "b" / "3.jpg",
    ]
    assert sorted(found(tmp_path, one)) == sorted(found(tmp_path))


def test_links_to_images_and_folders_are_followed(tmp_path: Path) -> None:
    make(tmp_path, "elsewhere/1.jpg", "archive/2.jpg")
    (tmp_path / "archive" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "archive" / "linked.jpg").symlink_to(tmp_path / "elsewhere" / "1.jpg")
    names = [path.name for path in found(tmp_path / "archive")]
    assert names == ["2.jpg", "linked.jpg", "1.jpg"]


@pytest.mark.timeout(20)
def test_links_cannot_make_a_loop(tmp_path: Path) -> None:
    make(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "a").symlink_to(tmp_path / "a")
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "gone.jpg")
    assert sorted(path.name for path in found(tmp_path)) == ["1.jpg", "2.jpg"]


def test_a_missing_path_is_refused_before_the_first_image(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    with pytest.raises(BadInput, match="gone"):
        find_images([tmp_path, tmp_path / "gone"])


def test_what_is_neither_file_nor_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="neither"):
        find_images([tmp_path / "pipe"])


def test_relative_paths_become_absolute_uris(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a dir/ä.jpg")
    monkeypatch.chdir(tmp_path)
    assert found(Path("a dir")) == [tmp_path / "a dir" / "ä.jpg"]
    assert image_uri(Path("x/../a dir/ä.jpg")) == f"{tmp_path}/a dir/ä.jpg"
