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
from rsq_server.datasets.loading import load_image_text_set

NAMES = ("test/a.png", "test/b.png", "train/c.png")


def _captions(root: Path, split: str) -> list[tuple[str, ...]]:
    return [sample.captions for sample in load_image_text_set(root, split=split).samples]


def test_each_split_has_its_own_metadata(tmp_path: Path) -> None:
    root = write_images(tmp_path, NAMES)
    lines: list[dict[str, Any] | str] = [
        {"file_name": "b.png", "text": "b"},
        {"file_name": "a.png", "captions": ["a", "A"]},
    ]
    write_lines(root / "test" / "metadata.jsonl", lines)
    write_lines(root / "train" / "metadata.jsonl", [{"file_name": "c.png", "caption": "c"}])
    assert _captions(root, "test") == [("a", "A"), ("b",)]
    assert _captions(root, "calibration") == [("c",)]


def test_metadata_beside_the_folders_is_read_for_one_of_them(tmp_path: Path) -> None:
    root = write_images(tmp_path, NAMES)
    lines = [{"file_name": name, "text": name, "label": name[5]} for name in NAMES]
    write_lines(root / "metadata.jsonl", lines)
    assert _captions(root, "test") == [("test/a.png",), ("test/b.png",)]
    (sample,) = load_image_text_set(root, split="calibration").samples
    assert (sample.captions, sample.label) == (("train/c.png",), "/")


def test_metadata_without_split_folders_is_used_whole(tmp_path: Path) -> None:
    root = write_images(tmp_path, ["a.png", "images/b.png", "not-listed.png"])
    lines = ['{"file_name": "a.png", "text": null}', '{"file_name": "images/b.png"}']
    write_lines(root / "metadata.jsonl", lines)
    assert _captions(root, "test") == _captions(root, "calibration") == [(), ()]


def test_csv_says_the_same_as_json(tmp_path: Path) -> None:
    root = write_images(tmp_path, ["a.png", "b.png"])
    text = '\ufefffile_name,text,label\na.png,"a port, with ships",Port\nb.png,,\n'
    (root / "metadata.csv").write_text(text, encoding="utf-8")
    found = load_image_text_set(root, split="test")
    assert [(s.label, s.captions) for s in found.samples] == [
        ("Port", ("a port, with ships",)),
        (None, ()),
    ]


def test_folders_below_a_split_are_labels(tmp_path: Path) -> None:
    root = write_images(tmp_path, ["train/Port/a.png", "test/River/b.png", "README.md"])
    for split, label in (("test", "River"), ("calibration", "Port")):
        found = load_image_text_set(root, split=split)
        assert [sample.label for sample in found.samples] == [label]


def test_classes_beside_a_class_called_train_are_no_splits(tmp_path: Path) -> None:
    root = write_images(tmp_path, ["train/a.png", "bus/b.png"])
    assert len(load_image_text_set(root, split="test").samples) == 2


def test_a_split_that_is_not_there_is_refused(tmp_path: Path) -> None:
    root = write_images(tmp_path, ["train/Port/a.png"])
    with pytest.raises(BadSource, match="no folder 'test'; it has train"):
        load_image_text_set(root, split="test")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "line 2 is not JSON"),
        ({"text": "a"}, "line 2 has no text in 'file_name'"),
        ({"file_name": "gone.png"}, "line 2 names an image that isn't there"),
        ({"file_name": "../a.png"}, "line 2 names an image outside"),
        ({"file_name": "a.png", "text": 3}, "line 2 has captions that are not"),
        ({"file_name": "a.png", "label": 3}, "line 2 has a label that is not a text"),
        ({"file_name": "b.png"}, r"b\.png twice"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: Any, sentence: str) -> None:
    (tmp_path / "a.png").write_bytes(make_png(1))
    root = write_images(tmp_path / "set", ["a.png", "b.png"])
    write_lines(root / "metadata.jsonl", [{"file_name": "b.png"}, line])
    with pytest.raises(BadSource, match=sentence):
        load_image_text_set(root, split="test")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"file_name,text\na.png,one,two\n", "line 2 has more cells"),
        (b'file_name,text\na.png,"one', "line 2 is not CSV"),
        (b"file_name,text\na.png," + b"a" * 200_000, "line 2 is not CSV: field larger"),
        (b"file_name,text\na.png,\xff\n", "not text in UTF-8"),
        (b"name,text\na.png,one\n", "line 2 has no text in 'file_name'"),
        (b"", "lists no images"),
    ],
)
def test_bad_csv_is_refused(tmp_path: Path, text: bytes, sentence: str) -> None:
    root = write_images(tmp_path, ["a.png"])
    (root / "metadata.csv").write_bytes(text)
    with pytest.raises(BadSource, match=sentence):
        load_image_text_set(root, split="test")


@pytest.mark.parametrize(
    "files",
    [
        ["dataset_info.json", "data-00000-of-00001.arrow"],
        ["dataset_dict.json", "train/data-00000-of-00001.arrow", "test/data-0.arrow"],
        ["README.md", "data/train-00000-of-00001.parquet"],
    ],
)
def test_the_saved_form_is_refused_with_what_to_do(tmp_path: Path, files: list[str]) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(BadSource, match=r"Arrow or Parquet.*metadata\.jsonl whose lines have"):
        load_image_text_set(tmp_path, split="test")


def test_a_table_beside_images_is_no_saved_data_set(tmp_path: Path) -> None:
    root = write_images(tmp_path, ["a.png"])
    (root / "index.parquet").write_bytes(b"PAR1")
    assert len(load_image_text_set(root, split="test").samples) == 1


_LINE = st.fixed_dictionaries(
    {},
    optional={
        "file_name": st.sampled_from(["a.png", "b.png", "."]) | JSON,
        "text": st.text(max_size=3) | JSON,
        "label": JSON,
    },
)


@given(lines=st.lists(_LINE | JSON, max_size=3))
def test_whatever_the_lines_hold_only_bad_source_comes_of_it(lines: list[Any]) -> None:
    _check(b"\n".join(json.dumps(line).encode() for line in lines), "metadata.jsonl")


@given(
    st.binary(max_size=60)
    | st.lists(
        st.sampled_from(["file_name", "text", "a.png", ",", "\n", '"', "\r", "\0", "x"]),
        max_size=20,
    ).map(lambda parts: "".join(["file_name,text\n", *parts]).encode())
)
def test_whatever_the_csv_holds_only_bad_source_comes_of_it(data: bytes) -> None:
    _check(data, "metadata.csv")


def _check(data: bytes, file: str) -> None:
    with TemporaryDirectory() as name:
        root = write_images(Path(name), ["a.png"])
        (root / file).write_bytes(data)
        try:
            found = load_image_text_set(root, split="test")
        except BadSource as e:
            assert str(root.resolve()) in e.message
        else:
            assert [sample.read() for sample in found.samples] == [make_png(0)]
