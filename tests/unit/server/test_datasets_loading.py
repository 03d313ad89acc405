from __future__ import annotations

import json
from pathlib import Path

import pytest
from image_sets import make_png, write_images, write_lines

from rsq.errors import BadSource
from rsq_server.datasets.loading import (
    MIN_CALIBRATION_IMAGES,
    load_calibration_set,
    load_image_text_set,
)


def test_an_empty_folder_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match="holds no images"):
        load_image_text_set(tmp_path, split="test")
    with pytest.raises(BadSource, match="not a folder"):
        load_image_text_set(tmp_path / "missing", split="test")


def test_an_image_that_does_not_decode_is_named_at_once(tmp_path: Path) -> None:
    root = write_images(tmp_path, ["a.png", "b.png"])
    (root / "b.png").write_bytes(make_png(1)[:-30])
    with pytest.raises(BadSource, match=r"b\.png can't be used"):
        load_image_text_set(root, split="test")


@pytest.mark.parametrize("count", [0, 1, MIN_CALIBRATION_IMAGES - 1])
def test_too_few_images_to_calibrate_with_are_refused_with_how_many_it_takes(
    tmp_path: Path, count: int
) -> None:
    root = write_images(tmp_path, [f"{index}.png" for index in range(count)])
    words = f"{'no images' if count == 0 else f'{count} image'}.*needs at least 8"
    with pytest.raises(BadSource, match=words):
        load_calibration_set(root)


def test_eight_images_of_mixed_sizes_are_enough_to_calibrate_with(tmp_path: Path) -> None:
    for index in range(MIN_CALIBRATION_IMAGES):
        (tmp_path / f"{index}.png").write_bytes(make_png(index, (1 + 40 * index, 30)))
    assert len(load_calibration_set(tmp_path).samples) == MIN_CALIBRATION_IMAGES


def test_calibration_reads_its_own_split(tmp_path: Path) -> None:
    root = write_images(tmp_path, [f"{index}.png" for index in range(9)])
    splits = ["test"] + ["calibration"] * 8
    lines = [{"image": f"{i}.png", "split": split} for i, split in enumerate(splits)]
    write_lines(root / "captions.jsonl", lines)
    assert [s.read() for s in load_calibration_set(root).samples] == [
        make_png(index) for index in range(1, 9)
    ]


def test_captions_without_an_image_stop_calibration_with_their_line(tmp_path: Path) -> None:
    root = write_images(tmp_path, ["0.png"])
    lines = [{"image": f"{i}.png", "split": "calibration"} for i in range(9)]
    write_lines(root / "captions.jsonl", lines)
    with pytest.raises(BadSource, match=r"line 2 names an image that isn't there: '1\.png'"):
        load_calibration_set(root)


def test_a_file_may_be_named_instead_of_its_folder(tmp_path: Path) -> None:
    root = write_images(tmp_path / "set", ["a.png"])
    write_lines(root / "mine.jsonl", [{"image": "a.png", "split": "test"}])
    (root / "mine.json").write_text(
        json.dumps({"images": [{"filename": "a.png", "split": "test"}]})
    )
    write_lines(root / "metadata.jsonl", [{"file_name": "a.png"}])
    found = [
        load_image_text_set(root / name, split="test")
        for name in ("mine.jsonl", "mine.json", "metadata.jsonl")
    ]
    assert [(s.name, len(s.samples)) for s in found] == [("set", 1)] * 3
    with pytest.raises(BadSource, match=r"a\.png is neither a folder nor"):
        load_image_text_set(root / "a.png", split="test")
