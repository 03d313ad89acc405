from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rsq.errors import BadSource
from rsq_server.datasets import (
    CALIBRATION_SPLIT,
    EVALUATION_SPLIT,
    generated_set,
    load_image_text_set,
)


def _png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((5, 7, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _write_folder(root: Path, names: list[str]) -> Path:
    for index, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_png(index))
    return root


def _write_captions(root: Path, lines: list[dict[str, Any] | str]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (root / "captions.jsonl").write_text("\n".join(text) + "\n")
    return root


def _line(image: str, split: str = "test", **fields: Any) -> dict[str, Any]:
    return {"image": image, "split": split, "label": "Port", "captions": ["a port ."], **fields}


def test_sub_folders_of_an_image_folder_are_labels(tmp_path: Path) -> None:
    root = _write_folder(tmp_path / "set", ["River/b.png", "Port/x/a.JPG", ".git/c.png"])
    (root / "Port" / "notes.txt").write_text("no image")
    found = load_image_text_set(root, split="test")
    assert [(s.label, s.captions) for s in found.samples] == [("Port", ()), ("River", ())]
    assert found.labels
    assert found.name == "set"


def test_an_image_beside_the_sub_folders_has_no_label_and_so_the_set_has_none(
    tmp_path: Path,
) -> None:
    found = load_image_text_set(_write_folder(tmp_path, ["River/b.png", "a.png"]), split="test")
    assert not found.labels
    assert [s.label for s in found.samples] == ["River", None]


def test_captions_are_read_for_one_split_only(tmp_path: Path) -> None:
    root = _write_folder(tmp_path, ["a.png", "b.png", "c.png"])
    _write_captions(
        root, [_line("b.png"), _line("a.png", captions=["one", "two"]), _line("c.png", "train")]
    )
    found = load_image_text_set(root, split="test")
    assert [s.captions for s in found.samples] == [("one", "two"), ("a port .",)]
    assert [s.read() for s in found.samples] == [_png(0), _png(1)]
    assert len(load_image_text_set(root, split="train").samples) == 1


def test_label_and_captions_may_be_left_out(tmp_path: Path) -> None:
    root = _write_folder(tmp_path, ["a.png"])
    _write_captions(root, [{"image": "a.png", "split": "test"}, ""])
    found = load_image_text_set(root, split="test")
    assert not found.labels
    assert found.samples[0].captions == ()


def test_the_digest_is_of_the_content_and_not_of_the_place(tmp_path: Path) -> None:
    def digest(folder: str, *lines: dict[str, Any], first: int = 0) -> str:
        root = tmp_path / folder
        root.mkdir()
        for index, name in enumerate(("a.png", "b.png")):
            (root / name).write_bytes(_png(first + index))
        return load_image_text_set(_write_captions(root, list(lines)), split="test").digest

    base = digest("1", _line("a.png"), _line("b.png"))
    assert digest("2", _line("b.png"), _line("a.png")) == base
    others = [
        digest("3", _line("a.png"), _line("b.png"), first=9),
        digest("4", _line("a.png", captions=["another"]), _line("b.png")),
        digest("5", _line("a.png", label="River"), _line("b.png")),
        digest("6", _line("a.png")),
    ]
    assert len({base, *others}) == 5


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{not json", "line 2 is not JSON"),
        ("[1]", "line 2 is not a JSON object"),
        ("[" * 100_000, "line 2 is not JSON"),
        ({"split": "test"}, "line 2 has no text in 'image'"),
        ({"image": "a.png"}, "line 2 has no text in 'split'"),
        (_line("a.png", captions="a port"), "line 2 has captions that are not"),
        (_line("a.png", captions=["a port", " "]), "line 2 has captions that are not"),
        (_line("a.png", label=3), "line 2 has a label"),
        (_line("a.png", captions=["\ud800"]), "line 2 has half a surrogate pair"),
        (_line("a.png", captions=["a" * 70_000]), "line 2 has a text of 70000 bytes"),
        (_line("nowhere.png"), "line 2 names an image that isn't there: 'nowhere.png'"),
        (_line("../outside.png"), "line 2 names an image outside the folder"),
        (_line("/etc/passwd"), "line 2 names an image outside the folder"),
        (_line("link.png"), "line 2 names an image outside the folder"),
        (_line("a\0.png"), "line 2 names an image"),
        (_line("b.png"), "b.png twice"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: dict[str, Any] | str, sentence: str) -> None:
    (tmp_path / "outside.png").write_bytes(_png(1))
    root = _write_folder(tmp_path / "set", ["a.png", "b.png"])
    (root / "link.png").symlink_to(tmp_path / "outside.png")
    _write_captions(root, [_line("b.png"), line])
    with pytest.raises(BadSource, match=sentence):
        load_image_text_set(root, split="test")


def test_a_split_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    root = _write_captions(_write_folder(tmp_path, ["a.png"]), [_line("a.png", "train")])
    with pytest.raises(BadSource, match=r"no images of the split 'calibration'; it has train"):
        load_image_text_set(root, split="calibration")


def test_an_empty_folder_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match="holds no images"):
        load_image_text_set(tmp_path, split="test")
    with pytest.raises(BadSource, match="not a folder"):
        load_image_text_set(tmp_path / "missing", split="test")


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    root = _write_folder(tmp_path, ["a.png"])
    (root / "a.png").rename(root / os.fsdecode(b"\xff.png"))
    with pytest.raises(BadSource, match=r"name of an image in .* has half a surrogate pair"):
        load_image_text_set(root, split="test")


def test_an_image_that_does_not_decode_is_named_at_once(tmp_path: Path) -> None:
    root = _write_folder(tmp_path, ["a.png", "b.png"])
    (root / "b.png").write_bytes(_png(1)[:-30])
    with pytest.raises(BadSource, match=r"b\.png can't be used"):
        load_image_text_set(root, split="test")


def test_generated_calibration_and_evaluation_share_no_image_and_never_change() -> None:
    calibration = generated_set("calibration", per_class=2)
    evaluation = generated_set("evaluation", per_class=2)
    assert generated_set("evaluation", per_class=2) == evaluation
    assert evaluation.digest != calibration.digest
    images = [{s.read() for s in found.samples} for found in (calibration, evaluation)]
    assert [len(found) for found in images] == [20, 20]
    assert not images[0] & images[1]
    assert evaluation.labels
    assert all(s.captions for s in evaluation.samples)


def test_splits_of_the_real_set_are_disjoint(rsq_data: Path) -> None:
    folder = rsq_data / "aid-rsicd"
    test = load_image_text_set(folder, split=EVALUATION_SPLIT)
    calibration = load_image_text_set(folder, split=CALIBRATION_SPLIT)
    assert (len(test.samples), len(calibration.samples)) == (1027, 510)
    assert test.labels
    assert not {s.image for s in test.samples} & {s.image for s in calibration.samples}
