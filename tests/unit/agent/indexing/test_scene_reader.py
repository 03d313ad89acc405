"""Tiles as they are sent: right pixels, right place, empty ones left out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from image_sets import make_png
from numpy.typing import NDArray
from raster_files import gradient, write_raster

from rsq.errors import BadImage, BadInput
from rsq.images import decode_image
from rsq.retrieval import BoundingBox, IndexItem, Window
from rsq_agent.indexing import scene_reader
from rsq_agent.indexing.image_entry import ImageEntry
from rsq_agent.indexing.index_plan import IndexSettings, plan_scene
from rsq_agent.indexing.scene_reader import ReadTiles, SceneReader
from rsq_agent.indexing.tiles import Tiling


def read_all(entry: ImageEntry | Path, settings: IndexSettings | None = None) -> ReadTiles:
    entry = entry if isinstance(entry, ImageEntry) else ImageEntry(str(entry))
    settings = settings or IndexSettings(tiling=Tiling(32))
    scene = plan_scene(entry, settings)
    reader = SceneReader(scene, settings)
    results = [reader.read(part) for part in reader.parts(scene.origins)]
    return ReadTiles(
        [item for result in results for item in result.items],
        sum(result.empty for result in results),
    )


def pixels(item: IndexItem) -> NDArray[np.uint8]:
    return np.asarray(decode_image(item.image))


def test_tiles_hold_their_part_of_the_raster(tmp_path: Path) -> None:
    values = gradient(70, 90)
    items = read_all(write_raster(tmp_path / "a_20180716.tif", values)).items
    assert len(items) == 9
    for item in items:
        window = item.payload.window
        assert window is not None
        rows = slice(window.y, window.y + window.height)
        columns = slice(window.x, window.x + window.width)
        assert np.array_equal(pixels(item), values[:, rows, columns].transpose(1, 2, 0))
        assert item.payload.datetime == "2018-07-16T00:00:00Z"
        assert len(item.payload.footprint) == 4
        assert item.payload.bbox is not None
        assert item.payload.stamp


def test_mostly_empty_tiles_are_left_out_and_counted(tmp_path: Path) -> None:
    values = gradient(64, 96)
    values[:, :, :32] = 0  # empty
    values[:, :, 32:44] = 0  # three eighths of the next column
    path = write_raster(tmp_path / "a.tif", values, nodata=0)
    half = read_all(path)
    assert ([i.payload.window.x for i in half.items if i.payload.window], half.empty) == (
        [32, 64, 32, 64],
        2,
    )
    assert not pixels(half.items[0])[:, :12].any()
    assert read_all(path, IndexSettings(tiling=Tiling(32), max_nodata=0.25)).empty == 4
    assert read_all(path, IndexSettings(tiling=Tiling(32), max_nodata=1.0)).empty == 2


def test_a_raster_without_any_data_gives_nothing(tmp_path: Path) -> None:
    values = np.full((1, 64, 64), -9999, np.float32)
    result = read_all(write_raster(tmp_path / "a.tif", values, nodata=-9999))
    assert (result.items, result.empty) == ([], 4)


def test_all_tiles_of_a_deep_scene_share_their_limits(tmp_path: Path) -> None:
    values = np.zeros((1, 32, 64), np.uint16)
    values[:, :, :32], values[:, :, 32:] = 1000, 3000
    dark, bright = read_all(write_raster(tmp_path / "a.tif", values)).items
    assert (pixels(dark).max(), pixels(bright).min()) == (0, 255)


def test_only_the_missing_tiles_are_read(tmp_path: Path) -> None:
    settings = IndexSettings(tiling=Tiling(32))
    path = write_raster(tmp_path / "a.tif", gradient(64, 64))
    scene = plan_scene(ImageEntry(str(path)), settings)
    parts = SceneReader(scene, settings).parts(scene.origins[1:2])
    assert parts == [[Window(32, 0, 32, 32)]]


def test_a_picture_is_sent_as_it_is_with_what_a_list_knows(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(make_png(9))
    box = BoundingBox(1, 2, 3, 4)
    settings = IndexSettings(tags=("all",))
    (item,) = read_all(ImageEntry(str(path), bbox=box, tags=("one",)), settings).items
    assert item.image == make_png(9)
    assert (item.payload.bbox, item.payload.tags) == (box, ("all", "one"))
    assert item.payload.window is None


def test_a_window_of_a_picture_is_cut_out(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(make_png(9, (40, 30)))
    (item,) = read_all(ImageEntry(str(path), window=Window(10, 5, 30, 25))).items
    assert pixels(item).shape == (25, 30, 3)
    with pytest.raises(BadImage, match="outside"):
        read_all(ImageEntry(str(path), window=Window(10, 5, 31, 25)))


def test_a_box_of_a_list_places_a_raster_without_crs(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", gradient(32, 32), crs=None)
    box = BoundingBox(1, 2, 3, 4)
    assert read_all(ImageEntry(str(path), bbox=box)).items[0].payload.bbox == box


@pytest.mark.parametrize("change", ["touch", "remove"])
def test_a_file_that_changes_meanwhile_is_not_sent(
    tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_raster(tmp_path / "a.tif", gradient(32, 32))
    read_window = scene_reader.read_window

    def read_and_change(*arguments: object) -> object:
        result = read_window(*arguments)  # type: ignore[arg-type]
        if change == "touch":
            os.utime(path, ns=(0, 0))
        else:
            path.unlink()
        return result

    monkeypatch.setattr(scene_reader, "read_window", read_and_change)
    with pytest.raises(BadInput, match="while it was read"):
        read_all(path)
