"""Small GeoTIFFs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

UTM = "EPSG:32633"
PLACE = Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)  # 10 m pixels


def write_raster(
    path: Path,
    values: NDArray[Any],
    *,
    crs: str | None = UTM,
    transform: Affine | None = PLACE,
    mask: NDArray[np.bool_] | None = None,
    tags: dict[str, str] | None = None,
    colours: list[Any] | None = None,
    palette: dict[int, tuple[int, int, int]] | None = None,
    **profile: Any,
) -> Path:
    """`values` [bands, h, w]; `mask` [h, w] becomes a mask of the file's own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands, height, width = values.shape
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=width,
            height=height,
            count=bands,
            dtype=values.dtype,
            crs=crs,
            transform=transform,
            **profile,
        ) as file:
            file.write(values)
            if mask is not None:
                file.write_mask(mask)
            if tags:
                file.update_tags(**tags)
            if colours:
                file.colorinterp = colours
            if palette:
                file.write_colormap(1, palette)
    return path


def gradient(height: int, width: int, bands: int = 3) -> NDArray[np.uint8]:
    """uint8 [bands, height, width], nowhere 0."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack(
        [(1 + (rows * (band + 1) + columns) % 250).astype(np.uint8) for band in range(bands)]
    )
