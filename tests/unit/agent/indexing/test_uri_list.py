"""Lists of images: JSON lines and Parquet say the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from rsq.errors import BadSource
from rsq.retrieval import BoundingBox, Window
from rsq_agent.indexing.image_entry import ImageEntry, Skipped
from rsq_agent.indexing.uri_list import read_json_lines, read_parquet

Write = Callable[[Path, list[dict[str, Any]]], Iterator[ImageEntry | Skipped]]


def as_json_lines(folder: Path, rows: list[dict[str, Any]]) -> Iterator[ImageEntry | Skipped]:
    path = folder / "list.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    return read_json_lines(path)


def as_parquet(folder: Path, rows: list[dict[str, Any]]) -> Iterator[ImageEntry | Skipped]:
    path = folder / "list.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return read_parquet(path)


BOTH = pytest.mark.parametrize("write", [as_json_lines, as_parquet])


@BOTH
def test_rows_give_images_with_what_is_known_of_them(tmp_path: Path, write: Write) -> None:
    rows = [
        {
            "uri": "a.tif",
            "datetime": "2018-07-16T12:00:00+02:00",
            "bbox": [10.0, 50.0, 11.0, 51.0],
            "tags": ["naip", "farm"],
            "window": {"x": 1, "y": 2, "width": 3, "height": 4},
            "cloud": 0.5,
        },
        {"uri": "file:///b/c.png", "datetime": None, "bbox": None, "tags": None, "window": None},
    ]
    assert list(write(tmp_path, rows)) == [
        ImageEntry(
            str(tmp_path / "a.tif"),
            window=Window(1, 2, 3, 4),
            datetime="2018-07-16T10:00:00Z",
            bbox=BoundingBox(10, 50, 11, 51),
            tags=("naip", "farm"),
        ),
        ImageEntry("/b/c.png"),
    ]


@BOTH
def test_a_bad_row_costs_itself(tmp_path: Path, write: Write) -> None:
    rows: list[dict[str, Any]] = [
        {"uri": "https://example.org/a.tif", "datetime": None},
        {"uri": "a.tif", "datetime": "yesterday"},
        {"uri": None, "datetime": None},
        {"uri": "b.tif", "datetime": None},
    ]
    found = list(write(tmp_path, rows))
    assert [row.code if isinstance(row, Skipped) else "" for row in found] == [
        "REMOTE",
        "BAD_SOURCE",
        "BAD_SOURCE",
        "",
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"window": {"x": 0, "y": 0, "width": 0, "height": 5}},
        {"window": {"x": -1, "y": 0, "width": 5, "height": 5}},
        {"window": [0, 0, 5, 5]},
        {"bbox": [1, 2, 3]},
        {"bbox": [10, 51, 11, 50]},
        {"tags": "naip"},
        {"datetime": 5},
    ],
)
def test_odd_values_are_named(tmp_path: Path, fields: dict[str, Any]) -> None:
    (row,) = as_json_lines(tmp_path, [{"uri": "a.tif", **fields}])
    assert isinstance(row, Skipped)
    assert f"{next(iter(fields))} is " in row.message
    assert "line 1" in row.message


def test_a_line_that_is_no_json_costs_itself(tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    path.write_bytes(b'{"uri": \n\xff\xfe\n[]\n{"uri": "a.tif"}\n')
    found = list(read_json_lines(path))
    assert [type(row) for row in found] == [Skipped] * 3 + [ImageEntry]


def test_parquet_times_and_geoparquet_boxes_are_understood(tmp_path: Path) -> None:
    box = {"xmin": 10.0, "ymin": 50.0, "xmax": 11.0, "ymax": 51.0}
    rows = [{"uri": "a.tif", "datetime": datetime(2018, 7, 16, tzinfo=UTC), "bbox": box}]
    (entry,) = as_parquet(tmp_path, rows)
    assert isinstance(entry, ImageEntry)
    assert entry.datetime == "2018-07-16T00:00:00Z"
    assert entry.bbox == BoundingBox(10, 50, 11, 51)


def test_a_file_that_is_no_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(BadSource, match="Parquet"):
        list(read_parquet(path))
    with pytest.raises(BadSource, match="uri"):
        list(as_parquet(tmp_path, [{"path": "a.tif"}]))
    with pytest.raises(BadSource, match="can't be read"):
        list(read_json_lines(tmp_path / "gone.jsonl"))
