"""Plans: which tiles, under which stamp, read in which parts."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from image_sets import make_png
from raster_files import gradient, write_raster

from rsq.errors import BadImage, BadInput
from rsq.retrieval import Origin, Window
from rsq_agent.indexing import index_plan
from rsq_agent.indexing.image_entry import ImageEntry
from rsq_agent.indexing.index_plan import (
    IndexSettings,
    Scene,
    bands_of_stamp,
    cut_slabs,
    plan_scene,
)
from rsq_agent.indexing.rasters import Raster, open_raster
from rsq_agent.indexing.tiles import Tiling, cut_rows


def plan(path: Path, settings: IndexSettings | None = None, **facts: object) -> Scene:
    return plan_scene(ImageEntry(str(path), **facts), settings or IndexSettings())  # type: ignore[arg-type]


def test_a_picture_is_one_item_with_size_and_time_as_stamp(tmp_path: Path) -> None:
    path = tmp_path / "20200831.png"
    path.write_bytes(make_png(3))
    scene = plan(path)
    status = path.stat()
    stamp = f"{status.st_size}-{status.st_mtime_ns}"
    assert scene.origins == [Origin(str(path), None, stamp)]
    assert scene.datetime == "2020-08-31T00:00:00Z"
    assert scene.without_footprint() is None
    assert not scene.may_have_older_tiles


def test_a_geotiff_is_cut_and_may_have_older_tiles(tmp_path: Path) -> None:
    scene = plan(write_raster(tmp_path / "a.tif", gradient(300, 500)))
    assert [len(row) for row in scene.rows] == [2, 2]
    assert scene.may_have_older_tiles


def test_what_decides_what_is_stored_is_in_the_stamp(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", gradient(64, 64))
    settings = [
        IndexSettings(),
        IndexSettings(tiling=Tiling(32)),
        IndexSettings(bands=(3, 2, 1)),
        IndexSettings(max_nodata=0.1),
        IndexSettings(tags=("naip",)),
    ]
    stamps = [plan(path, one).stamp for one in settings]
    stamps.append(plan(path, datetime="2020-01-01T00:00:00Z").stamp)
    assert len(set(stamps)) == len(stamps)
    assert plan(path).stamp == stamps[0]
    os.utime(path, ns=(0, 0))
    assert plan(path).stamp != stamps[0]


def test_bands_can_be_read_from_a_stamp(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", gradient(8, 8, 12))
    assert bands_of_stamp(plan(path, IndexSettings(bands=(12, 3, 1))).stamp) == (12, 3, 1)
    assert bands_of_stamp(plan(path).stamp) == ()


def test_dates_of_a_list_go_before_the_name_and_the_name_before_the_tag(tmp_path: Path) -> None:
    tags = {"TIFFTAG_DATETIME": "2018:07:16 17:01:02"}
    tagged = write_raster(tmp_path / "a.tif", gradient(8, 8), tags=tags)
    named = write_raster(tmp_path / "20190101.tif", gradient(8, 8), tags=tags)
    assert plan(tagged).datetime == "2018-07-16T17:01:02Z"
    assert plan(named).datetime == "2019-01-01T00:00:00Z"
    assert plan(named, datetime="2020-01-01T00:00:00Z").datetime == "2020-01-01T00:00:00Z"


def test_a_raster_without_crs_is_planned_and_said_to_have_no_place(tmp_path: Path) -> None:
    scene = plan(write_raster(tmp_path / "a.tif", gradient(8, 8), crs=None))
    assert scene.without_footprint() == "The raster has no CRS."


def test_a_window_alone_must_lie_inside(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", gradient(64, 64))
    window = Window(0, 32, 64, 32)
    scene = plan(path, window=window)
    assert [origin.window for origin in scene.origins] == [window]
    assert not scene.may_have_older_tiles
    with pytest.raises(BadInput, match="outside"):
        plan(path, window=Window(0, 33, 64, 32))


def test_what_is_gone_or_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="can't be read"):
        plan(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(BadInput, match="not a file"):
        plan(tmp_path / "pipe.png")
    with pytest.raises(BadInput, match="UTF-8"):
        plan(tmp_path / "bad\udcff.png")
    (tmp_path / "a.png").write_bytes(make_png(1))
    monkeypatch.setattr(index_plan, "MAX_FILE_BYTES", 10)
    with pytest.raises(BadImage, match="over the limit of 10"):
        plan(tmp_path / "a.png")


def test_tiles_beyond_the_limit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_plan, "MAX_TILES", 20)
    path = write_raster(tmp_path / "a.tif", gradient(64, 64))
    with pytest.raises(BadImage, match="tiles"):
        plan(path, IndexSettings(tiling=Tiling(16)))


@pytest.mark.parametrize("settings", [{"bands": (1, 2)}, {"bands": (0,)}, {"max_nodata": 1.5}])
def test_odd_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        IndexSettings(**settings)  # type: ignore[arg-type]


@pytest.fixture
def raster(tmp_path: Path) -> Raster:
    return open_raster(write_raster(tmp_path / "a.tif", gradient(64, 64)), max_pixels=1 << 20)


def slabs(raster: Raster, **shape: int) -> list[list[Window]]:
    raster = dataclasses.replace(raster, **shape)  # type: ignore[arg-type]
    return list(cut_slabs(raster, cut_rows(raster.width, raster.height, Tiling(256))))


def test_every_tile_is_in_one_part(raster: Raster) -> None:
    parts = slabs(raster, width=36_000, height=18_000, block_width=512, block_height=512)
    tiles = [window for part in parts for window in part]
    assert len(tiles) == len(set(tiles)) == 141 * 71


def test_parts_hold_whole_blocks_and_bounded_bytes(raster: Raster) -> None:
    parts = slabs(raster, width=36_000, height=18_000, block_width=512, block_height=512)
    assert {window.y for window in parts[0]} == {0, 256}
    assert max(len(part) for part in parts) * 256 * 256 * 3 <= 16 << 20


def test_strips_are_read_in_their_whole_width(raster: Raster) -> None:
    parts = slabs(raster, width=36_000, height=1000, block_width=36_000, block_height=1)
    assert [len(part) for part in parts] == [141] * 4


def test_one_huge_block_does_not_make_one_huge_part(raster: Raster) -> None:
    parts = slabs(raster, width=36_000, height=18_000, block_width=36_000, block_height=18_000)
    assert max(len(part) for part in parts) * 256 * 256 * 3 <= 80 << 20
