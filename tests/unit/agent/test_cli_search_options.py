"""Options of a search are read as they are meant, or refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsq.errors import BadInput
from rsq.retrieval import BoundingBox
from rsq_agent.cli.search_options import parse_bbox, parse_time, read_polygon, read_vector

RING = [[0.0, 0.0], [4.0, 0.0], [4.0, 3.0], [0.0, 0.0]]
POLYGON = {"type": "Polygon", "coordinates": [RING]}


def test_a_box_is_west_south_east_north() -> None:
    assert parse_bbox("-71.2, 42.2,-70.9,42.5") == BoundingBox(-71.2, 42.2, -70.9, 42.5)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d"])
def test_another_box_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="W,S,E,N"):
        parse_bbox(text)


def test_a_day_is_its_first_second() -> None:
    assert parse_time("2024-06-01") == "2024-06-01T00:00:00Z"
    assert parse_time("2024-06-01T09:00:00+02:00") == "2024-06-01T09:00:00+02:00"


@pytest.mark.parametrize(
    "content",
    [
        POLYGON,
        {"type": "Feature", "geometry": POLYGON, "properties": {}},
        {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": POLYGON}]},
        {"type": "MultiPolygon", "coordinates": [[RING]]},
    ],
)
def test_the_ring_of_a_polygon_is_read(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "area.geojson"
    path.write_text(json.dumps(content))
    assert read_polygon(path) == ((0.0, 0.0), (4.0, 0.0), (4.0, 3.0))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"type": "Point", "coordinates": [1, 2]}',
        json.dumps({"type": "Polygon", "coordinates": [RING, RING]}),
        json.dumps({"type": "Polygon", "coordinates": [[["a", "b"]]]}),
        '{"type": "FeatureCollection", "features": []}',
    ],
)
def test_what_is_not_one_polygon_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "area.geojson"
    path.write_text(text)
    with pytest.raises(BadInput, match="one polygon without holes"):
        read_polygon(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nowhere"):
        read_polygon(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="nowhere"):
        read_vector(tmp_path / "nowhere")


def test_a_vector_of_one_row_is_read_and_text_is_not(tmp_path: Path) -> None:
    path = tmp_path / "query.npy"
    for shape in ((4,), (1, 4)):
        np.save(path, np.ones(shape))
        assert read_vector(path).shape == (4,)
    path.write_text("1,2,3")
    with pytest.raises(BadInput, match="no vector"):
        read_vector(path)
