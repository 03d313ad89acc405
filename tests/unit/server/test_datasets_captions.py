from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_sets import make_png, write_images, write_lines
from json_values import JSON

from rsq.errors import BadSource
from rsq_server.datasets.image_text_set import CALIBRATION_SPLIT, EVALUATION_SPLIT
from rsq_server.datasets.loading import load_image_text_set


def _write_captions(root: Path, lines: list[dict[str, Any] | str]) -> Path:
    return write_lines(root / "captions.jsonl", lines)


def _line(image: str, split: str = "test", **fields: Any) -> dict[str, Any]:
    return {"image": image, "split": split, "label": "Port", "captions": ["a port ."], **fields}


def test_captions_are_read_for_one_split_only(tmp_path: Path) -> None:
    root = write_images(tmp_path, ["a.png", "b.png", "c.png"])
    _write_captions(
        root, [_line("b.png"), _line("a.png", captions=["one", "two"]), _line("c.png", "train")]
    )
    found = load_image_text_set(root, split="test")
    assert [s.captions for s in found.samples] == [("one", "two"), ("a port .",)]
    assert [s.read() for s in found.samples] == [make_png(0), make_png(1)]
    assert len(load_image_text_set(root, split="train").samples) == 1


def test_label_and_captions_may_be_left_out(tmp_path: Path) -> None:
    root = write_images(tmp_path, ["a.png"])
    _write_captions(root, [{"image": "a.png", "split": "test"}, ""])
    found = load_image_text_set(root, split="test")
    assert not found.labels
    assert found.samples[0].captions == ()


def test_the_digest_is_of_the_content_and_not_of_the_place(tmp_path: Path) -> None:
    def digest(folder: str, *lines: dict[str, Any], first: int = 0) -> str:
        root = tmp_path / folder
        root.mkdir()
        for index, name in enumerate(("a.png", "b.png")):
            (root / name).write_bytes(make_png(first + index))
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
    (tmp_path / "outside.png").write_bytes(make_png(1))
    root = write_images(tmp_path / "set", ["a.png", "b.png"])
    (root / "link.png").symlink_to(tmp_path / "outside.png")
    _write_captions(root, [_line("b.png"), line])
    with pytest.raises(BadSource, match=sentence):
        load_image_text_set(root, split="test")


def test_a_split_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    root = _write_captions(write_images(tmp_path, ["a.png"]), [_line("a.png", "train")])
    with pytest.raises(BadSource, match=r"no images of the split 'calibration'; it has train"):
        load_image_text_set(root, split="calibration")


def test_splits_of_the_real_set_are_disjoint(rsq_data: Path) -> None:
    folder = rsq_data / "aid-rsicd"
    test = load_image_text_set(folder, split=EVALUATION_SPLIT)
    calibration = load_image_text_set(folder, split=CALIBRATION_SPLIT)
    assert (len(test.samples), len(calibration.samples)) == (1027, 510)
    assert test.labels
    assert not {s.image for s in test.samples} & {s.image for s in calibration.samples}


_LINE = st.fixed_dictionaries(
    {},
    optional={
        "image": st.sampled_from(["a.png", "b.png", "..", "a.png/x"]) | JSON,
        "split": st.just("test") | JSON,
        "label": JSON,
        "captions": st.lists(st.text(max_size=5), max_size=3) | JSON,
    },
)


@given(lines=st.lists(_LINE | JSON, max_size=3), junk=st.binary(max_size=20))
def test_whatever_the_lines_hold_only_bad_source_comes_of_it(lines: list[Any], junk: bytes) -> None:
    with TemporaryDirectory() as name:
        root = write_images(Path(name), ["a.png"])
        text = b"\n".join(json.dumps(line).encode() for line in lines)
        (root / "captions.jsonl").write_bytes(text + b"\n" + junk)
        try:
            found = load_image_text_set(root, split="test")
        except BadSource as e:
            assert str(root) in e.message
        else:
            assert [sample.read() for sample in found.samples] == [make_png(0)]
