"""Items and catalogues on disk: all their images once, without the network and without loops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rsq.errors import BadSource
from rsq.retrieval import BoundingBox
from rsq_agent.indexing.image_entry import ImageEntry, Skipped
from rsq_agent.indexing.stac import read_bbox, read_stac

RING = [[10, 50], [11, 50], [11, 51], [10, 51], [10, 50]]


def item(assets: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": "scene",
        "bbox": [10, 50, 11, 51],
        "geometry": {"type": "Polygon", "coordinates": [RING]},
        "properties": {"datetime": "2018-07-16T17:00:00Z", "keywords": ["naip"]},
        "assets": assets or {"image": {"href": "./scene.tif", "type": "image/tiff"}},
        **fields,
    }


def write(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def catalogue(*links: str, kind: str = "Catalog") -> dict[str, Any]:
    relations = ["child" if "catalog" in href else "item" for href in links]
    return {
        "type": kind,
        "id": "c",
        "links": [{"rel": rel, "href": href} for rel, href in zip(relations, links, strict=True)],
    }


def images(path: Path) -> list[str]:
    return [entry.uri for entry in read_stac(path) if isinstance(entry, ImageEntry)]


def test_an_item_gives_its_image_with_time_place_and_tags(tmp_path: Path) -> None:
    (entry,) = read_stac(write(tmp_path / "item.json", item()))
    assert entry == ImageEntry(
        str(tmp_path / "scene.tif"),
        datetime="2018-07-16T17:00:00Z",
        bbox=BoundingBox(10, 50, 11, 51),
        footprint=((10, 50), (11, 50), (11, 51), (10, 51)),
        tags=("naip",),
    )


def test_a_period_counts_from_its_start(tmp_path: Path) -> None:
    properties = {"datetime": None, "start_datetime": "2018-07-01T00:00:00Z"}
    (entry,) = read_stac(write(tmp_path / "item.json", item(properties=properties)))
    assert isinstance(entry, ImageEntry)
    assert entry.datetime == "2018-07-01T00:00:00Z"


def test_the_asset_for_viewing_goes_before_all_others(tmp_path: Path) -> None:
    assets = {
        "B04": {"href": "B04.tif", "type": "image/tiff; application=geotiff"},
        "visual": {"href": "TCI.tif", "type": "image/tiff"},
        "thumbnail": {"href": "small.png", "type": "image/png", "roles": ["thumbnail"]},
    }
    assert images(write(tmp_path / "a.json", item(assets))) == [str(tmp_path / "TCI.tif")]
    del assets["visual"]
    assert images(write(tmp_path / "a.json", item(assets))) == [str(tmp_path / "B04.tif")]


def test_an_asset_without_a_type_is_judged_by_its_name(tmp_path: Path) -> None:
    assets = {"a": {"href": "a.TIF"}, "b": {"href": "b.xml"}, "c": {}, "d": 5}
    assert images(write(tmp_path / "a.json", item(assets))) == [str(tmp_path / "a.TIF")]


def test_catalogues_are_followed_to_every_item_once(tmp_path: Path) -> None:
    write(tmp_path / "a" / "item.json", item())
    write(tmp_path / "b" / "item.json", item())
    write(tmp_path / "b" / "catalog.json", catalogue("item.json", "../a/item.json"))
    root = catalogue("b/catalog.json", "a/item.json")
    assert sorted(images(write(tmp_path / "catalog.json", root))) == [
        str(tmp_path / "a" / "scene.tif"),
        str(tmp_path / "b" / "scene.tif"),
    ]


@pytest.mark.timeout(20)
def test_loops_of_links_and_of_folders_end(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    write(tmp_path / "item.json", item())
    links = ("catalog.json", "loop/catalog.json", "child/catalog.json", "item.json")
    write(tmp_path / "catalog.json", catalogue(*links))
    write(tmp_path / "child" / "catalog.json", catalogue("../catalog.json"))
    assert images(tmp_path / "catalog.json") == [str(tmp_path / "scene.tif")]


def test_an_item_collection_gives_its_items(tmp_path: Path) -> None:
    document = {"type": "FeatureCollection", "features": [item(), 7, item()]}
    assert len(images(write(tmp_path / "a.json", document))) == 2


def test_what_is_remote_or_damaged_is_reported_and_costs_itself(tmp_path: Path) -> None:
    assets = {"a": {"href": "https://example.org/a.tif"}, "b": {"href": "b.tif"}}
    write(tmp_path / "item.json", item(assets))
    (tmp_path / "bad.json").write_text("{")
    write(tmp_path / "empty.json", item({"meta": {"href": "a.xml"}}))
    links = ("https://example.org/i.json", "bad.json", "gone.json", "item.json", "empty.json")
    rows = list(read_stac(write(tmp_path / "catalog.json", catalogue(*links))))
    skipped = [row for row in rows if isinstance(row, Skipped)]
    assert [row.code for row in skipped] == ["REMOTE", *["BAD_SOURCE"] * 2, "REMOTE", "BAD_SOURCE"]
    assert images(tmp_path / "catalog.json") == [str(tmp_path / "b.tif")]


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, '{"type": "Point"}', "\xff"])
def test_what_is_no_stac_document_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(BadSource):
        list(read_stac(path))


@pytest.mark.parametrize(
    "fields",
    [
        {"bbox": [1, 2], "geometry": None},
        {"bbox": "here", "geometry": {"type": "Polygon", "coordinates": []}},
        {"bbox": [10, 51, 11, 50], "geometry": {"type": "Point", "coordinates": [1, 2]}},
        {"bbox": None, "geometry": 5, "properties": None},
        {"geometry": {"type": "Polygon", "coordinates": [[["a", 1], [2, 3], [4, 5]]]}},
        {"geometry": {"type": "Polygon", "coordinates": [[[999, 1], [2, 3], [4, 5]]]}},
    ],
)
def test_odd_facts_are_left_out(tmp_path: Path, fields: dict[str, Any]) -> None:
    (entry,) = read_stac(write(tmp_path / "a.json", item(**fields)))
    assert isinstance(entry, ImageEntry)
    assert entry.footprint == ()


def test_a_box_may_have_heights_and_cross_the_antimeridian() -> None:
    assert read_bbox([170, -5, 0, -170, 5, 100]) == BoundingBox(170, -5, -170, 5)
