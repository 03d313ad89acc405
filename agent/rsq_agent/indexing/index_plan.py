"""What an image file gives to a collection: itself, or tiles. Decided from its header alone."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsq.errors import BadImage, BadInput
from rsq.retrieval import Origin, Window
from rsq_agent.collections.index_points import check_uri
from rsq_agent.indexing.image_entry import ImageEntry
from rsq_agent.indexing.rasters import Raster, open_raster
from rsq_agent.indexing.scene_time import time_from_name
from rsq_agent.indexing.tiff_tags import TIFF_SUFFIXES, is_raster
from rsq_agent.indexing.tiles import Tiling, cut_rows

MAX_FILE_BYTES = 60 << 20  # an image that is sent as it is; a message holds 64 MiB
DEFAULT_MAX_PIXELS = 4_000_000_000  # of a raster: a square of 63,000; memory doesn't grow with it
MAX_TILES = 1_000_000  # of one raster
_SLAB_BYTES = 16 << 20  # of pixels read at once, where the file's blocks allow it


@dataclass(frozen=True)
class IndexSettings:
    """How rasters are read, and tags for everything. `max_nodata` is the share of a tile's pixels
    that may be empty."""

    tiling: Tiling = field(default_factory=Tiling)
    bands: tuple[int, ...] = ()  # one or three, counted from 1; none: those that show colour
    max_nodata: float = 0.5
    max_pixels: int = DEFAULT_MAX_PIXELS
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.bands) not in (0, 1, 3) or any(band < 1 for band in self.bands):
            raise BadInput("Name one band or three, counted from 1, such as --bands 4,3,2.")
        if not 0 <= self.max_nodata <= 1:
            raise BadInput(f"The share of empty pixels is 0 to 1, not {self.max_nodata}.")


@dataclass(frozen=True)
class Scene:
    """An image file and its tiles, row by row; none for a picture that is sent as it is."""

    entry: ImageEntry
    rows: tuple[tuple[Window, ...], ...]
    stamp: str
    datetime: str | None
    raster: Raster | None = None

    @property
    def origins(self) -> list[Origin]:
        """What it is stored as."""
        uri = self.entry.uri
        if not self.rows:
            return [Origin(uri, stamp=self.stamp)]
        return [Origin(uri, window, self.stamp) for row in self.rows for window in row]

    @property
    def may_have_older_tiles(self) -> bool:
        """Whether the collection may hold other tiles of this file, from an earlier state of it or
        from other settings."""
        return self.entry.window is None and _is_tiff(self.entry.uri)

    def without_footprint(self) -> str | None:
        """Why its tiles can't be placed on a map; None for pictures and for those that can."""
        if self.raster is None or self.entry.bbox is not None:
            return None
        if self.raster.crs_wkt is None:
            return "The raster has no CRS."
        if self.raster.affine is None:
            return "The raster has a CRS and no geotransform."
        return None


def plan_scene(entry: ImageEntry, settings: IndexSettings) -> Scene:
    """Raises BadImage and BadInput for a file that can't be indexed, EnvironmentFault for a raster
    without rasterio."""
    check_uri(entry.uri)
    try:
        status = os.stat(entry.uri)
    except OSError as e:
        raise BadInput(f"The file can't be read: {e.strerror}.") from e
    if not stat.S_ISREG(status.st_mode):
        raise BadInput("It is not a file.")
    path = Path(entry.uri)
    raster = None
    rows: list[list[Window]] = [[entry.window]] if entry.window is not None else []
    if _is_tiff(entry.uri) and is_raster(path):
        raster = open_raster(path, bands=settings.bands, max_pixels=settings.max_pixels)
        if entry.window is None:
            rows = _cut(raster, settings.tiling)
        else:
            _require_inside(entry.window, raster.width, raster.height)
    elif status.st_size > MAX_FILE_BYTES:
        raise BadImage(f"The file has {status.st_size} bytes, over the limit of {MAX_FILE_BYTES}.")
    return Scene(
        entry=entry,
        rows=tuple(tuple(row) for row in rows),
        stamp=_stamp(status, entry, settings, is_raster=raster is not None),
        datetime=entry.datetime
        or time_from_name(entry.uri)
        or (raster.datetime if raster is not None else None),
        raster=raster,
    )


def file_stamp(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def bands_of_stamp(stamp: str) -> tuple[int, ...]:
    """The bands that were asked for when a tile of this stamp was indexed; none for the default."""
    match = re.search(r"-b(\d+(?:\.\d+)*)$", stamp, re.ASCII)
    return tuple(int(band) for band in match[1].split(".")) if match else ()


def cut_slabs(raster: Raster, rows: Sequence[Sequence[Window]]) -> Iterator[list[Window]]:
    """Tiles that are best read together: as many rows as the file's blocks are high, so that a
    block is decoded once. A file of strips is read in its whole width, since GDAL decodes whole
    strips anyway."""
    at_once = 1
    if len(rows) > 1:
        step = max(1, rows[1][0].y - rows[0][0].y)
        row_bytes = raster.width * step * _pixel_bytes(raster)
        at_once = max(1, min(raster.block_height // step, 4 * _SLAB_BYTES // row_bytes))
    for first in range(0, len(rows), at_once):
        group = rows[first : first + at_once]
        for columns in _column_slices(raster, group):
            yield [window for row in group for window in row[columns]]


def _column_slices(raster: Raster, rows: Sequence[Sequence[Window]]) -> Iterator[slice]:
    columns = at_once = len(rows[0])
    if raster.block_width < raster.width:
        tile_bytes = sum(row[0].height * row[0].width for row in rows) * _pixel_bytes(raster)
        at_once = max(1, _SLAB_BYTES // tile_bytes)
    for start in range(0, columns, at_once):
        yield slice(start, start + at_once)


def _pixel_bytes(raster: Raster) -> int:
    """As it is read, or as it is sent if that is more."""
    return max(len(raster.bands) * raster.sample_bytes, 3)


def _cut(raster: Raster, tiling: Tiling) -> list[list[Window]]:
    tiles = (raster.width // tiling.step + 1) * (raster.height // tiling.step + 1)
    if tiles > MAX_TILES:
        raise BadImage(f"The raster gives about {tiles} tiles, over the limit of {MAX_TILES}.")
    return cut_rows(raster.width, raster.height, tiling)


def _require_inside(window: Window, width: int, height: int) -> None:
    if window.x + window.width > width or window.y + window.height > height:
        raise BadInput(f"The window {window} is outside the image of {width} x {height} pixels.")


def _is_tiff(uri: str) -> bool:
    return Path(uri).suffix.lower() in TIFF_SUFFIXES


def _stamp(
    status: os.stat_result, entry: ImageEntry, settings: IndexSettings, *, is_raster: bool
) -> str:
    """The file's size and time of change, and a digest of what else decides what is stored, so
    that other settings or other facts count as a change. Bands that were asked for can be read from
    it, as the tile can't be made again without them."""
    facts: dict[str, Any] = {
        "datetime": entry.datetime,
        "bbox": entry.bbox and vars(entry.bbox),
        "footprint": entry.footprint,
        "tags": sorted({*entry.tags, *settings.tags}),
    }
    if is_raster:
        facts["bands"] = settings.bands
        facts["nodata"] = settings.max_nodata
        if entry.window is None:
            facts["tiles"] = vars(settings.tiling)
    known = {key: value for key, value in facts.items() if value}
    if not known:
        return file_stamp(status)
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
    bands = ".".join(map(str, settings.bands)) if is_raster else ""
    return f"{file_stamp(status)}-{digest[:12]}" + (f"-b{bands}" if bands else "")
