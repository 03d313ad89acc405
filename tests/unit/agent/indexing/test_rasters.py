"""Opening and reading GeoTIFFs: what is understood, and what is refused in a sentence."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from raster_files import PLACE, gradient, write_raster
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from rsq.errors import BadImage, BadInput, EnvironmentFault, RsqError
from rsq.retrieval import Window
from rsq_agent.indexing import rasters
from rsq_agent.indexing.rasters import Raster, find_scene_limits, open_raster, read_window

LIMIT = 10_000_000


def opened(path: Path, *bands: int) -> Raster:
    return open_raster(path, bands=bands, max_pixels=LIMIT)


def test_a_raster_tells_its_size_place_and_time(tmp_path: Path) -> None:
    path = write_raster(
        tmp_path / "a.tif",
        gradient(30, 40, 4),
        nodata=0,
        tags={"TIFFTAG_DATETIME": "2018:07:16 17:01:02"},
    )
    raster = opened(path)
    assert (raster.width, raster.height, raster.bands) == (40, 30, (1, 2, 3))
    assert raster.affine == tuple(PLACE)[:6]
    assert raster.crs_wkt is not None
    assert "UTM zone 33N" in raster.crs_wkt
    assert (raster.nodata, raster.has_mask, raster.is_deep) == (0.0, False, False)
    assert raster.datetime == "2018-07-16T17:01:02Z"


def test_windows_hold_the_very_pixels_of_the_bands_asked_for(tmp_path: Path) -> None:
    values = gradient(50, 60, 5)
    raster = opened(write_raster(tmp_path / "a.tif", values), 4, 1, 2)
    read, valid = read_window(raster, Window(7, 11, 20, 30))
    assert np.array_equal(read, values[[3, 0, 1], 11:41, 7:27])
    assert valid.all()


def test_threads_may_read_one_raster_together(tmp_path: Path) -> None:
    values = gradient(64, 64)
    raster = opened(write_raster(tmp_path / "a.tif", values, compress="deflate"))
    windows = [Window(x, y, 16, 16) for y in range(0, 64, 16) for x in range(0, 64, 16)]
    with ThreadPoolExecutor(4) as pool:
        tiles = list(pool.map(lambda window: read_window(raster, window)[0], windows))
    for window, tile in zip(windows, tiles, strict=True):
        rows, columns = slice(window.y, window.y + 16), slice(window.x, window.x + 16)
        assert np.array_equal(tile, values[:, rows, columns])


def test_masks_and_alpha_mark_empty_pixels(tmp_path: Path) -> None:
    mask = np.ones((20, 20), np.bool_)
    mask[:, :5] = False
    masked = opened(write_raster(tmp_path / "mask.tif", gradient(20, 20), mask=mask))
    assert np.array_equal(read_window(masked, Window(0, 0, 20, 20))[1], mask)
    values = np.concatenate([gradient(20, 20), mask[None] * np.uint8(255)])
    colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    alpha = opened(write_raster(tmp_path / "alpha.tif", values, colours=colours))
    assert alpha.bands == (1, 2, 3)
    assert np.array_equal(read_window(alpha, Window(0, 0, 20, 20))[1], mask)


def test_limits_come_from_the_whole_scene_without_its_empty_pixels(tmp_path: Path) -> None:
    values = np.zeros((1, 400, 400), np.uint16)
    values[0, 100:] = np.linspace(1000, 3000, 300 * 400).reshape(300, 400)
    raster = opened(write_raster(tmp_path / "a.tif", values, nodata=0))
    assert raster.is_deep
    assert find_scene_limits(raster) == pytest.approx((1040, 2960), abs=5)


def test_a_palette_is_read(tmp_path: Path) -> None:
    raster = opened(write_raster(tmp_path / "a.tif", gradient(8, 8, 1), palette={5: (10, 20, 30)}))
    assert raster.palette is not None
    assert raster.palette[5].tolist() == [10, 20, 30]


def test_fewer_than_eight_bits_are_spread(tmp_path: Path) -> None:
    values = np.tile(np.arange(16, dtype=np.uint8), (1, 8, 4))
    raster = opened(write_raster(tmp_path / "a.tif", values, nbits=4))
    assert raster.is_deep
    assert find_scene_limits(raster) == (0.0, 15.0)


def test_a_mask_of_one_bit_is_black_and_white(tmp_path: Path) -> None:
    values = np.tile(np.array([0, 1], np.uint8), (1, 8, 4))
    raster = opened(write_raster(tmp_path / "a.tif", values, nbits=1))
    assert raster.palette is not None
    assert raster.palette[:2].tolist() == [[0] * 3, [255] * 3]


def test_too_many_pixels_are_refused_before_reading(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", gradient(100, 100))
    with pytest.raises(BadImage, match=r"100 x 100 pixels.*--max-pixels"):
        open_raster(path, max_pixels=9999)


def test_a_band_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", gradient(8, 8))
    with pytest.raises(BadInput, match="3 bands, not the bands 4,3,2"):
        opened(path, 4, 3, 2)


def test_complex_samples_are_refused(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", np.ones((1, 8, 8), np.complex64))
    with pytest.raises(BadImage, match="complex"):
        opened(path)


def test_blocks_too_large_for_bounded_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rasters, "MAX_BLOCK_BYTES", 64 * 64)
    path = write_raster(tmp_path / "a.tif", gradient(64, 64), blockysize=64)
    with pytest.raises(BadImage, match="COG"):
        opened(path)


@pytest.mark.parametrize("keep", [0, 8, 300, 2000])
def test_a_damaged_file_is_refused_when_opened_or_read(tmp_path: Path, keep: int) -> None:
    path = write_raster(tmp_path / "a.tif", gradient(64, 64), blockysize=8)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadImage):
        read_window(opened(path), Window(0, 0, 64, 64))


def test_damaged_headers_end_in_a_sentence(tmp_path: Path) -> None:
    whole = write_raster(
        tmp_path / "a.tif", gradient(16, 16, 1), palette={5: (10, 20, 30)}, nodata=0
    ).read_bytes()
    chance = random.Random(7)
    refused = 0
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data) - 256)] = chance.randrange(256)
        (tmp_path / "a.tif").write_bytes(data)
        try:
            raster = open_raster(tmp_path / "a.tif", max_pixels=4096)
            read_window(raster, Window(0, 0, min(raster.width, 16), min(raster.height, 16)))
        except RsqError:
            refused += 1
    assert 0 < refused < 60


def test_only_the_geotiff_reader_is_let_near_a_file(tmp_path: Path) -> None:
    inner = write_raster(tmp_path / "inner.tif", gradient(8, 8))
    virtual = tmp_path / "a.tif"
    virtual.write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1">'
        f"<SimpleSource><SourceFilename>{inner}</SourceFilename></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(BadImage):
        opened(virtual)


def test_without_georeference_there_is_no_place(tmp_path: Path) -> None:
    raster = opened(write_raster(tmp_path / "a.tif", gradient(8, 8), crs=None, transform=None))
    assert (raster.affine, raster.crs_wkt) == (None, None)
    assert opened(
        write_raster(tmp_path / "b.tif", gradient(8, 8), crs=None, transform=Affine.scale(2))
    ).affine == (2.0, 0.0, 0.0, 0.0, 2.0, 0.0)


def test_a_missing_rasterio_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_raster(tmp_path / "a.tif", gradient(8, 8))
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(EnvironmentFault, match=r"pip install 'rsq-agent\[geo\]'"):
        opened(path)
