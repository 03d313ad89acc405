"""Which TIFFs are cut into tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from raster_files import PLACE, UTM, gradient, write_raster
from rasterio.transform import Affine

from rsq_agent.indexing.tiff_tags import is_raster


def test_a_picture_without_georeference_is_no_raster(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "scene.tif")
    assert not is_raster(tmp_path / "scene.tif")


@pytest.mark.parametrize(("crs", "transform"), [(UTM, PLACE), (UTM, None), (None, PLACE)])
def test_a_georeference_makes_a_raster(
    tmp_path: Path, crs: str | None, transform: Affine | None
) -> None:
    assert is_raster(write_raster(tmp_path / "a.tif", gradient(8, 8), crs=crs, transform=transform))


def test_many_bands_make_a_raster(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", gradient(8, 8, 12), crs=None, transform=None)
    assert is_raster(path)


def test_a_big_tiff_is_read_too(tmp_path: Path) -> None:
    assert is_raster(write_raster(tmp_path / "a.tif", gradient(8, 8), BIGTIFF="YES"))


@pytest.mark.parametrize("data", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"not a tiff at all"])
def test_a_damaged_file_is_no_raster(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.tif").write_bytes(data)
    assert not is_raster(tmp_path / "a.tif")
