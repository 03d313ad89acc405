from __future__ import annotations

import os
from pathlib import Path

import pytest
from image_sets import write_images

from rsq.errors import BadSource
from rsq_server.datasets.loading import load_image_text_set


def test_sub_folders_of_an_image_folder_are_labels(tmp_path: Path) -> None:
    root = write_images(tmp_path / "set", ["River/b.png", "Port/x/a.JPG", ".git/c.png"])
    (root / "Port" / "notes.txt").write_text("no image")
    found = load_image_text_set(root, split="test")
    assert [(s.label, s.captions) for s in found.samples] == [("Port", ()), ("River", ())]
    assert found.labels
    assert found.name == "set"


def test_an_image_beside_the_sub_folders_has_no_label_and_so_the_set_has_none(
    tmp_path: Path,
) -> None:
    found = load_image_text_set(write_images(tmp_path, ["River/b.png", "a.png"]), split="test")
    assert not found.labels
    assert [s.label for s in found.samples] == ["River", None]


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    root = write_images(tmp_path, ["a.png"])
    (root / "a.png").rename(root / os.fsdecode(b"\xff.png"))
    with pytest.raises(BadSource, match=r"name of an image in .* has half a surrogate pair"):
        load_image_text_set(root, split="test")
