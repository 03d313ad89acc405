"""What was indexed can be made again, byte for byte, as long as its file is the same."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from fake_collection import FakeCollection
from image_sets import make_png
from raster_files import gradient, write_raster

from rsq.errors import BadInput
from rsq.retrieval import IndexItem, Origin
from rsq_agent.indexing.index_plan import IndexSettings
from rsq_agent.indexing.index_report import IndexReport
from rsq_agent.indexing.index_run import index_entries
from rsq_agent.indexing.index_sources import find_entries
from rsq_agent.indexing.stored_images import StoredImages
from rsq_agent.indexing.tiles import Tiling


def sent(folder: Path, settings: IndexSettings) -> list[IndexItem]:
    collection = FakeCollection()
    for _ in index_entries(collection, find_entries([folder]), settings, IndexReport("default")):
        pass
    return collection.received


def origin(item: IndexItem) -> Origin:
    return Origin(item.uri, item.payload.window, item.payload.stamp)


@pytest.mark.parametrize("bands", [(), (4, 3, 2), (2,)])
def test_pictures_and_tiles_are_made_again_as_they_were_sent(
    tmp_path: Path, bands: tuple[int, ...]
) -> None:
    (tmp_path / "a.png").write_bytes(make_png(3))
    deep = np.random.default_rng(0).integers(0, 4000, (5, 64, 64), np.uint16)
    write_raster(tmp_path / "deep.tif", deep)
    write_raster(tmp_path / "plain.tif", gradient(64, 64, 4), nodata=0)
    items = sent(tmp_path, IndexSettings(tiling=Tiling(32), bands=bands, tags=("a",)))
    assert len(items) == 9
    images = StoredImages()
    for item in items:
        assert images.read(origin(item)) == item.image


def test_a_file_that_changed_or_went_is_told(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", gradient(64, 64))
    (item,) = sent(tmp_path, IndexSettings())
    images = StoredImages()
    images.read(origin(item))
    os.utime(path, ns=(0, 0))
    with pytest.raises(BadInput, match="changed since"):
        images.read(origin(item))
    path.unlink()
    with pytest.raises(BadInput, match="can't be read"):
        images.read(origin(item))
