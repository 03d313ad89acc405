from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_sets import make_png, write_images
from json_values import JSON

from rsq.errors import BadSource
from rsq_server.datasets.loading import load_image_text_set


def _record(filename: str, split: str = "test", *sentences: str) -> dict[str, Any]:
    return {
        "filename": filename,
        "imgid": 0,
        "sentids": [0],
        "split": split,
        "sentences": [{"raw": raw, "tokens": raw.split(), "imgid": 0} for raw in sentences],
    }


def _write(root: Path, images: Any) -> Path:
    (root / "dataset_rsicd.json").write_text(json.dumps({"images": images, "dataset": "rsicd"}))
    return root


def test_evaluation_reads_test_and_calibration_reads_train(tmp_path: Path) -> None:
    names = ("airport_1.jpg", "port_22.jpg", "00623.jpg", "val_1.jpg")
    root = write_images(tmp_path, names)
    records = [
        _record("port_22.jpg", "test", "a port .", "ships in a port ."),
        _record("airport_1.jpg", "train", "an airport ."),
        _record("00623.jpg", "test"),
        _record("val_1.jpg", "val"),
    ]
    _write(root, records)
    test = load_image_text_set(root, split="test")
    assert [(s.label, s.captions) for s in test.samples] == [
        (None, ()),
        ("port", ("a port .", "ships in a port .")),
    ]
    assert not test.labels
    (train,) = load_image_text_set(root, split="calibration").samples
    assert (train.label, train.captions, train.read()) == (
        "airport",
        ("an airport .",),
        make_png(0),
    )


def test_images_are_found_in_a_sub_folder(tmp_path: Path) -> None:
    root = write_images(tmp_path, ["RSICD_images/a_1.jpg", "RSICD_images/b_2.jpg", "other/c.txt"])
    _write(root, [_record("b_2.jpg"), _record("a_1.jpg")])
    found = load_image_text_set(root, split="test")
    assert [sample.label for sample in found.samples] == ["a", "b"]


def test_a_blank_sentence_is_left_out(tmp_path: Path) -> None:
    root = _write(write_images(tmp_path, ["a.jpg"]), [_record("a.jpg", "test", "one", " ")])
    assert load_image_text_set(root, split="test").samples[0].captions == ("one",)


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ("text", "image 2 is not a JSON object"),
        ({"split": "test"}, "image 2 has no text in 'filename'"),
        ({"filename": "a.jpg"}, "image 2 has no text in 'split'"),
        (_record("gone.jpg"), "image 2 names an image that isn't there: 'gone.jpg'"),
        (_record("../outside.jpg"), "image 2 names an image outside the folder"),
        (_record("n" * 5000), "image 2 names an image that can't be a path"),
        ({**_record("a.jpg"), "sentences": "a port"}, "image 2 has sentences that are not"),
        ({**_record("a.jpg"), "sentences": [{"raw": 3}]}, "image 2 has captions that are not"),
        ({**_record("a.jpg"), "sentences": [{}]}, "image 2 has captions that are not"),
        (_record("b.jpg"), r"lists b\.jpg twice"),
    ],
)
def test_a_bad_record_is_named(tmp_path: Path, record: Any, sentence: str) -> None:
    (tmp_path / "outside.jpg").write_bytes(make_png(1))
    root = _write(write_images(tmp_path / "set", ["a.jpg", "b.jpg"]), [_record("b.jpg"), record])
    with pytest.raises(BadSource, match=sentence):
        load_image_text_set(root, split="test")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"images": {}}', "no list in 'images'"),
        ('{"images": []}', "no images of the split 'train'; it has no images"),
    ],
)
def test_a_file_that_is_no_rsicd_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "dataset_rsicd.json").write_text(text)
    with pytest.raises(BadSource, match=sentence):
        load_image_text_set(tmp_path, split="calibration")


_RECORD = st.fixed_dictionaries(
    {},
    optional={
        "filename": st.sampled_from(["a.jpg", "b.jpg", "."]) | JSON,
        "split": st.just("test") | JSON,
        "sentences": st.lists(st.fixed_dictionaries({"raw": st.just("a port") | JSON}), max_size=2)
        | JSON,
    },
)


@given(document=st.fixed_dictionaries({"images": st.lists(_RECORD | JSON, max_size=3)}) | JSON)
def test_whatever_the_file_holds_only_bad_source_comes_of_it(document: Any) -> None:
    with TemporaryDirectory() as name:
        root = write_images(Path(name), ["a.jpg"])
        (root / "dataset_rsicd.json").write_text(json.dumps(document))
        try:
            found = load_image_text_set(root, split="test")
        except BadSource as e:
            assert str(root) in e.message
        else:
            assert [sample.read() for sample in found.samples] == [make_png(0)]
