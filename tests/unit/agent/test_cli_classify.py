from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

import rsq.client
from rsq.classification import LabelScore
from rsq.errors import BadImage, BadInput, Unreachable
from rsq.rpc.endpoint import Target
from rsq_agent.cli.classify import read_labels
from rsq_agent.cli.main import app


class FakeClient:
    """Says "port" of every image, and refuses those that begin with "bad" as an agent does."""

    def __init__(self, target: Target, model: str | None = None) -> None:
        if str(target) == "nowhere:1":
            raise Unreachable("Nothing answers.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def classify(
        self, images: Sequence[bytes], labels: Sequence[str], *, template: str, top: int
    ) -> list[list[LabelScore]]:
        if "{" in template and "{}" not in template:
            raise BadInput("A template has one {}.")
        for place, data in enumerate(images):
            if data.startswith(b"bad"):
                raise BadImage(f"item {place}: no image", metadata={"index": str(place)})
        return [[LabelScore(label, 0.25, 0.5) for label in labels[:top]] for _ in images]


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rsq.client, "Client", FakeClient)


def run(*arguments: str) -> None:
    app(["classify", *arguments], standalone_mode=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty images, two of them broken."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:02}.png").write_bytes(b"bad" if number in (3, 20) else b"good")
    return folder


def test_a_folder_is_classified_though_some_images_are_broken(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(str(folder), "--labels", "port,forest", "--top", "1", "--json")
    report = json.loads(capsys.readouterr().out)
    assert len(report["images"]) == 38
    assert report["images"][0]["labels"] == [{"label": "port", "cosine": 0.25, "probability": 0.5}]
    assert [Path(row["image"]).name for row in report["skipped"]] == ["03.png", "20.png"]
    assert report["skipped"][0]["code"] == "BAD_IMAGE"


def test_labels_come_from_a_file_and_rows_go_to_one(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.txt").write_text("cargo port\n\n forest, dense \n", encoding="utf-8")
    rows = tmp_path / "labels.csv"
    run(str(folder), "--labels", str(tmp_path / "labels.txt"), "--csv", str(rows))
    with rows.open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert len(read) == 76
    assert read[1] == {
        "image": str(folder / "00.png"),
        "rank": "2",
        "label": "forest, dense",
        "probability": "0.5",
        "cosine": "0.25",
    }
    printed = capsys.readouterr()
    assert "38 images" in printed.out
    assert "03.png: item" in printed.err


def test_nothing_but_broken_images_is_an_error_that_names_the_first(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"bad")
    with pytest.raises(BadImage, match=r"a\.png"):
        run(str(tmp_path), "--labels", "port")


def test_what_is_wrong_with_the_question_ends_the_command(folder: Path) -> None:
    with pytest.raises(BadInput, match="template"):
        run(str(folder), "--labels", "port", "--template", "a {")
    empty = folder / "empty"
    empty.mkdir()
    with pytest.raises(BadInput, match="no images"):
        run(str(empty), "--labels", "port")
    with pytest.raises(Unreachable):
        run(str(folder), "--labels", "port", "--agent", "nowhere:1")


def test_a_label_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="UTF-8"):
        read_labels(str(path))
    path.write_bytes(b"a" * ((1 << 20) + 1))
    with pytest.raises(BadInput, match="more than"):
        read_labels(str(path))
    assert read_labels(" port, ,forest ") == ["port", "forest"]
