"""From a planned scene to the items that are sent to an agent."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rsq.dynamic_range import Limits
from rsq.errors import BadImage, BadInput
from rsq.images import decode_image
from rsq.retrieval import IndexItem, Origin, Payload, Window
from rsq_agent.indexing.index_plan import IndexSettings, Scene, cut_slabs, file_stamp
from rsq_agent.indexing.raster_footprint import Place, locate_tiles
from rsq_agent.indexing.raster_pixels import encode_tile, to_rgb
from rsq_agent.indexing.rasters import Raster, find_scene_limits, read_window


@dataclass(frozen=True)
class ReadTiles:
    items: list[IndexItem]
    empty: int = 0  # tiles with less data than was asked for
    unplaced: int = 0  # tiles that have a CRS, and by it no place on Earth


class SceneReader:
    """Reads parts of one scene; from several threads if need be."""

    def __init__(self, scene: Scene, settings: IndexSettings) -> None:
        self.scene = scene
        self._settings = settings
        self._lock = threading.Lock()
        self._limits: Limits | None = None

    def parts(self, missing: Sequence[Origin]) -> list[list[Window]]:
        """The tiles of `missing` in parts to read one by one; an empty part is the whole
        picture."""
        if self.scene.raster is None:
            return [[origin.window] if origin.window else [] for origin in missing]
        wanted = {origin.window for origin in missing}
        parts = [
            [window for window in slab if window in wanted]
            for slab in cut_slabs(self.scene.raster, self.scene.rows)
        ]
        return [part for part in parts if part]

    def read(self, windows: Sequence[Window]) -> ReadTiles:
        """Raises BadImage for damaged pixels, BadInput for a file that went or changed since it was
        planned."""
        if self.scene.raster is None:
            result = ReadTiles([self._picture(windows[0] if windows else None)])
        else:
            result = self._tiles(self.scene.raster, windows)
        self._require_unchanged()
        return result

    def _picture(self, window: Window | None) -> IndexItem:
        try:
            with open(self.scene.entry.uri, "rb") as file:
                data = file.read()
        except OSError as e:
            raise BadInput(f"The file can't be read: {e.strerror}.") from e
        if window is not None:
            image = decode_image(data)
            right, bottom = window.x + window.width, window.y + window.height
            if right > image.width or bottom > image.height:
                raise BadImage(f"The window {window} is outside the image.")
            data = encode_tile(np.asarray(image.crop((window.x, window.y, right, bottom))))
        return self._item(data, window, None)

    def _tiles(self, raster: Raster, windows: Sequence[Window]) -> ReadTiles:
        limits = self._scene_limits(raster)
        left, top = min(w.x for w in windows), min(w.y for w in windows)
        right = max(w.x + w.width for w in windows)
        bottom = max(w.y + w.height for w in windows)
        values, valid = read_window(raster, Window(left, top, right - left, bottom - top))
        items = []
        places = locate_tiles(raster, windows)
        for window, place in zip(windows, places, strict=True):
            rows = slice(window.y - top, window.y - top + window.height)
            columns = slice(window.x - left, window.x - left + window.width)
            filled = valid[rows, columns]
            share = filled.mean()
            if share == 0 or share < 1 - self._settings.max_nodata:
                continue
            rgb = to_rgb(values[:, rows, columns], filled, limits, raster.palette)
            items.append(self._item(encode_tile(rgb), window, place))
        unplaced = 0 if self.scene.without_footprint() else places.count(None)
        return ReadTiles(items, len(windows) - len(items), unplaced)

    def _scene_limits(self, raster: Raster) -> Limits | None:
        if not raster.is_deep:
            return None
        with self._lock:
            if self._limits is None:
                self._limits = find_scene_limits(raster)
            return self._limits

    def _item(self, data: bytes, window: Window | None, place: Place | None) -> IndexItem:
        entry = self.scene.entry
        payload = Payload(
            window=window,
            bbox=place.bbox if place else entry.bbox,
            datetime=self.scene.datetime,
            tags=tuple(sorted({*entry.tags, *self._settings.tags})),
            footprint=place.footprint if place else entry.footprint,
            stamp=self.scene.stamp,
        )
        return IndexItem(entry.uri, data, payload)

    def _require_unchanged(self) -> None:
        try:
            now = file_stamp(os.stat(self.scene.entry.uri))
        except OSError as e:
            raise BadInput("The file went away while it was read.") from e
        if not f"{self.scene.stamp}-".startswith(f"{now}-"):
            raise BadInput("The file changed while it was read; index it again.")
