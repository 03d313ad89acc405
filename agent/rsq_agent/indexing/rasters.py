"""The one door to rasterio: GeoTIFFs, read in windows.

rasterio comes with the extra `geo` and is imported when the first raster is opened. Only GDAL's
GeoTIFF reader is let near a file, so that no file can make GDAL read another one or the network. A
file is opened anew for every read: GDAL's handles are not to be shared by threads.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.dynamic_range import MAX_SAMPLES, Limits, find_limits
from rsq.errors import BadImage, BadInput, EnvironmentFault
from rsq.retrieval import Window
from rsq_agent.indexing.raster_pixels import default_bands, valid_pixels
from rsq_agent.indexing.scene_time import time_from_tag

# A block is GDAL's unit of decoding: one that is larger than this can't be read in bounded memory.
MAX_BLOCK_BYTES = 256 << 20
_CACHE_BYTES = 64 << 20  # of decoded blocks, shared by all threads
_DATE_TAGS = (("ACQUISITIONDATETIME", "IMAGERY"), ("TIFFTAG_DATETIME", None))
_opening = threading.Lock()  # filters of warnings are global


@dataclass(frozen=True)
class Raster:
    """What is known of a raster once it was opened. `affine` is (a, b, c, d, e, f): a point in
    pixels (column, row) lies at (a*column + b*row + c, d*column + e*row + f) of the CRS."""

    path: Path
    width: int
    height: int
    bands: tuple[int, ...]  # one or three, counted from 1
    sample_bytes: int
    is_deep: bool  # other samples than 8 bits, without a palette
    nodata: float | None
    has_mask: bool  # an alpha band or a mask of its own
    palette: NDArray[np.uint8] | None  # [256, 3]
    block_width: int
    block_height: int
    affine: tuple[float, float, float, float, float, float] | None
    crs_wkt: str | None
    datetime: str | None  # RFC 3339


def open_raster(path: Path, *, bands: Sequence[int] = (), max_pixels: int) -> Raster:
    """What `path` holds; `bands` are the one or three to read, or none for those that show colour.

    Raises BadImage for a file that is no readable GeoTIFF, has no bands, more than `max_pixels`
    pixels, complex samples or blocks of more than MAX_BLOCK_BYTES, BadInput for a band that it
    doesn't have, EnvironmentFault where rasterio is missing.
    """
    with _dataset(path) as dataset:
        if dataset.count == 0:
            raise BadImage("The raster has no bands.")
        if dataset.width * dataset.height > max_pixels:
            raise BadImage(
                f"The raster has {dataset.width} x {dataset.height} pixels, over the limit of "
                f"{max_pixels}; raise --max-pixels to index it."
            )
        colours = [interpretation.name for interpretation in dataset.colorinterp]
        chosen = tuple(bands) or default_bands(colours)
        if not chosen or not all(1 <= band <= dataset.count for band in chosen):
            wanted = ",".join(map(str, chosen))
            raise BadInput(f"The raster has {dataset.count} bands, not the bands {wanted}.")
        kind = np.dtype(dataset.dtypes[chosen[0] - 1])
        if kind.kind not in "iuf" or any(dataset.dtypes[b - 1] != kind.name for b in chosen):
            raise BadImage("The raster's bands are complex numbers or of different types.")
        block_height, block_width = dataset.block_shapes[chosen[0] - 1]
        together = dataset.count if dataset.interleaving.name == "pixel" else 1
        block_bytes = block_height * block_width * kind.itemsize * together
        if block_bytes > MAX_BLOCK_BYTES:
            raise BadImage(
                f"The raster is stored in blocks of {block_width} x {block_height} pixels, too "
                "large to read part by part; store it tiled, for example as a COG."
            )
        bits = dataset.tags(chosen[0], ns="IMAGE_STRUCTURE").get("NBITS", "8")
        palette = _palette(dataset, chosen, colours) if kind == np.uint8 else None
        return Raster(
            path=path,
            width=dataset.width,
            height=dataset.height,
            bands=chosen,
            sample_bytes=kind.itemsize,
            is_deep=palette is None and (kind != np.uint8 or bits != "8"),
            nodata=dataset.nodatavals[chosen[0] - 1],
            has_mask=any(
                flag.name == "per_dataset" for flag in dataset.mask_flag_enums[chosen[0] - 1]
            ),
            palette=palette,
            block_width=block_width,
            block_height=block_height,
            affine=None if dataset.transform.is_identity else tuple(dataset.transform)[:6],
            crs_wkt=dataset.crs.to_wkt() if dataset.crs else None,
            datetime=_datetime(dataset),
        )


def read_window(raster: Raster, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The samples of a window, [bands, h, w], and where they hold data, bool [h, w]. Raises
    BadImage for pixels that can't be read."""
    bounds = ((window.y, window.y + window.height), (window.x, window.x + window.width))
    with _dataset(raster.path) as dataset:
        return _read(dataset, raster, window=bounds)


def find_scene_limits(raster: Raster) -> Limits:
    """What becomes 0 and 255 in all tiles of a deep raster, from an even sample of the whole scene,
    of its overviews where it has some. Raises BadImage."""
    pixels = raster.width * raster.height * len(raster.bands)
    shrink = max(1.0, math.sqrt(pixels / MAX_SAMPLES))
    height, width = (max(1, int(length / shrink)) for length in (raster.height, raster.width))
    with _dataset(raster.path) as dataset:
        values, valid = _read(dataset, raster, out_shape=(height, width))
    # A scene of one value has no limits; with any, it comes out in one colour.
    return find_limits(values.transpose(1, 2, 0), valid) or (0.0, 1.0)


def to_wgs84(
    crs_wkt: str, xs: NDArray[np.float64], ys: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitudes and latitudes in degrees, of the shape of `xs`. Raises BadImage for a CRS that has
    no place on Earth, and when any of the points has none."""
    from rasterio._err import CPLE_BaseError
    from rasterio.crs import CRS
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    try:
        found = transform(CRS.from_wkt(crs_wkt), CRS.from_epsg(4326), xs.ravel(), ys.ravel())
    except (RasterioError, CPLE_BaseError) as e:
        raise BadImage("The raster's CRS can't be brought to WGS84.") from e
    longitudes, latitudes = (np.array(part, np.float64).reshape(xs.shape) for part in found)
    return longitudes, latitudes


@contextmanager
def _dataset(path: Path) -> Iterator[Any]:
    try:
        import rasterio
        from rasterio._err import CPLE_BaseError
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
    except ImportError as e:
        raise EnvironmentFault(
            "GeoTIFFs are read with rasterio; install it: pip install 'rsq-agent[geo]'."
        ) from e
    try:
        with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES, GDAL_DISABLE_READDIR_ON_OPEN="TRUE"):
            with _opening, warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                dataset = rasterio.open(path, driver="GTiff", sharing=False)
            with dataset:
                yield dataset
    # Of damaged files GDAL's own errors come bare where rasterio asks for something besides pixels,
    # and what GDAL does not find is a ValueError.
    except (RasterioError, CPLE_BaseError, ValueError) as e:
        raise BadImage("The file is damaged or no GeoTIFF that can be read.") from e


def _read(dataset: Any, raster: Raster, **how: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    shape = how.pop("out_shape", None)
    values = dataset.read(
        raster.bands, out_shape=None if shape is None else (len(raster.bands), *shape), **how
    )
    mask = None
    if raster.has_mask:
        mask = dataset.read_masks(raster.bands[0], out_shape=shape, **how)
    return values, valid_pixels(values, raster.nodata, mask)


def _palette(
    dataset: Any, bands: tuple[int, ...], colours: Sequence[str]
) -> NDArray[np.uint8] | None:
    if len(bands) != 1 or colours[bands[0] - 1] != "palette":
        return None
    table = np.zeros((256, 3), np.uint8)
    for value, colour in dataset.colormap(bands[0]).items():
        if value < len(table):
            table[value] = colour[:3]
    return table


def _datetime(dataset: Any) -> str | None:
    for tag, domain in _DATE_TAGS:
        text = dataset.tags(ns=domain).get(tag, "") if domain else dataset.tags().get(tag, "")
        found = time_from_tag(text.replace("-", ":").replace("T", " ").rstrip("Z"))
        if found is not None:
            return found
    return None
