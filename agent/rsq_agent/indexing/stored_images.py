"""Images and tiles read again as they were when they were indexed."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from rsq.errors import BadInput
from rsq.retrieval import Origin
from rsq_agent.indexing.image_entry import ImageEntry
from rsq_agent.indexing.index_plan import (
    MAX_TILES,
    IndexSettings,
    bands_of_stamp,
    file_stamp,
    plan_scene,
)
from rsq_agent.indexing.scene_reader import SceneReader
from rsq_agent.indexing.tiles import MAX_TILE_PIXELS

_SCENES_KEPT = 4  # each with its limits, which are costly to find
# The window was accepted when it was indexed, whatever the limit was then.
_ANY_SIZE = MAX_TILES * MAX_TILE_PIXELS**2


class StoredImages:
    """Reads what a collection says it holds, from files on this machine. Best asked in the order of
    the files."""

    def __init__(self) -> None:
        self._open = lru_cache(_SCENES_KEPT)(_open_scene)

    def read(self, origin: Origin) -> bytes:
        """The encoded image that was embedded for `origin`, window and stamp included.

        Raises BadInput for a file that went or changed since, BadImage for one that is damaged,
        EnvironmentFault for a raster without rasterio.
        """
        try:
            status = os.stat(origin.uri)
        except OSError as e:
            raise BadInput(f"{origin.uri} can't be read: {e.strerror}.") from e
        if origin.stamp and not f"{origin.stamp}-".startswith(f"{file_stamp(status)}-"):
            raise BadInput(f"{origin.uri} changed since it was indexed; index it again.")
        bands = bands_of_stamp(origin.stamp)
        if origin.window is None:
            return Path(origin.uri).read_bytes()
        reader = self._open(origin.uri, bands, file_stamp(status))
        items = reader.read([origin.window]).items
        if not items:
            raise BadInput(f"{origin.uri} holds no data in that tile.")
        return items[0].image


def _open_scene(uri: str, bands: tuple[int, ...], stamp: str) -> SceneReader:
    # `stamp` makes a changed file another key.
    settings = IndexSettings(bands=bands, max_nodata=1.0, max_pixels=_ANY_SIZE)
    return SceneReader(plan_scene(ImageEntry(uri), settings), settings)
