"""Whole runs over a collection in memory: idempotent, resumable, tidy, bounded."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from fake_collection import FakeCollection
from image_sets import make_png
from raster_files import gradient, write_raster
from rasterio.transform import Affine

from rsq.errors import BadSource, Exhausted, Unreachable
from rsq.retrieval import IndexItem
from rsq_agent.indexing import index_run
from rsq_agent.indexing.image_entry import ImageEntry, Skipped
from rsq_agent.indexing.index_plan import IndexSettings
from rsq_agent.indexing.index_report import IndexReport
from rsq_agent.indexing.index_run import index_entries
from rsq_agent.indexing.index_sources import find_entries
from rsq_agent.indexing.tiles import Tiling

SMALL = IndexSettings(tiling=Tiling(32))


@pytest.fixture
def collection() -> FakeCollection:
    return FakeCollection()


def run(
    collection: FakeCollection,
    source: Path | Iterable[ImageEntry | Skipped],
    settings: IndexSettings = SMALL,
) -> IndexReport:
    report = IndexReport("default")
    entries = find_entries([source]) if isinstance(source, Path) else source
    for _ in index_entries(collection, entries, settings, report):
        assert report.done <= report.tiles
    assert report.done == report.tiles
    return report


def test_pictures_and_tiles_are_added_once(collection: FakeCollection, tmp_path: Path) -> None:
    for i in range(50):
        (tmp_path / f"{i:02}.png").write_bytes(make_png(i))
    write_raster(tmp_path / "scene.tif", gradient(64, 96))
    first = run(collection, tmp_path)
    assert (first.files, first.added, first.already) == (51, 56, 0)
    assert [item.uri for item in collection.received] == sorted(
        item.uri for item in collection.received
    )
    again = run(collection, tmp_path)
    assert (again.added, again.already, again.removed) == (0, 56, 0)
    assert len(collection.received) == 56


def test_a_run_goes_on_where_another_was_stopped(
    collection: FakeCollection, tmp_path: Path
) -> None:
    write_raster(tmp_path / "scene.tif", gradient(128, 128))

    def refuse(item: IndexItem) -> None:
        if len(collection.items) == 5:
            raise Exhausted("The disk is full.")

    collection.on_item = refuse
    with pytest.raises(Exhausted):
        run(collection, tmp_path)
    assert len(collection.items) == 5
    collection.on_item = lambda item: None
    report = run(collection, tmp_path)
    assert (report.added, report.already) == (11, 5)
    assert len(collection.received) == 16


def test_tiles_that_a_changed_file_no_longer_has_go_once_the_new_ones_are_in(
    collection: FakeCollection, tmp_path: Path
) -> None:
    path = write_raster(tmp_path / "scene.tif", gradient(128, 128))
    run(collection, tmp_path)
    write_raster(path, gradient(64, 64))

    def check(item: IndexItem) -> None:
        assert len(collection.items) == 16  # the older ones are still there

    collection.on_item = check
    report = run(collection, tmp_path)
    assert (report.added, report.removed, len(collection.items)) == (4, 12, 4)


def test_other_settings_replace_the_tiles(collection: FakeCollection, tmp_path: Path) -> None:
    write_raster(tmp_path / "scene.tif", gradient(128, 128))
    run(collection, tmp_path)
    report = run(collection, tmp_path, IndexSettings(tiling=Tiling(64, 16)))
    assert {window.width for _, window in collection.items if window} == {64}
    assert report.removed == 16


def test_a_file_that_became_unreadable_keeps_its_older_tiles(
    collection: FakeCollection, tmp_path: Path
) -> None:
    path = write_raster(tmp_path / "scene.tif", gradient(128, 128), blockysize=16)
    run(collection, tmp_path)
    path.write_bytes(path.read_bytes()[:30_000])
    report = run(collection, tmp_path)
    assert report.removed == 0
    assert {row.code for row in report.skipped} == {"BAD_IMAGE"}
    assert len(collection.items) == 16


def test_bad_files_cost_themselves_and_are_told(collection: FakeCollection, tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "good.png").write_bytes(make_png(1))
    write_raster(tmp_path / "nocrs.tif", gradient(32, 32), crs=None)
    missing = ImageEntry(str(tmp_path / "gone.png"))
    remote = Skipped("list, line 1", "REMOTE", "Elsewhere.")
    report = run(collection, [missing, remote, *find_entries([tmp_path])])
    assert report.added == 2
    assert {(Path(row.uri).name, row.code) for row in report.skipped} == {
        ("empty.png", "BAD_IMAGE"),
        ("gone.png", "BAD_INPUT"),
        ("list, line 1", "REMOTE"),
    }
    (note,) = report.to_json()["without_footprint"]
    assert note["uri"].endswith("nocrs.tif")


def test_a_first_scene_without_data_is_no_error(collection: FakeCollection, tmp_path: Path) -> None:
    write_raster(tmp_path / "empty.tif", gradient(64, 64) * 0, nodata=0)
    report = run(collection, tmp_path)
    assert (report.added, [row.tiles for row in report.skipped]) == (0, [4])


def test_a_file_named_twice_is_taken_as_it_was_named_first(
    collection: FakeCollection, tmp_path: Path
) -> None:
    uri = str(write_raster(tmp_path / "scene.tif", gradient(64, 64)))
    report = run(collection, [ImageEntry(uri, tags=("a",)), ImageEntry(uri, tags=("b",))])
    assert {item.payload.tags for item in collection.items.values()} == {("a",)}
    assert [row.message for row in report.skipped] == ["The file is named twice."]


def test_tiles_beyond_the_reach_of_their_crs_are_told(
    collection: FakeCollection, tmp_path: Path
) -> None:
    beyond = Affine(10, 0, 1e12, 0, -10, 1e12)
    write_raster(tmp_path / "scene.tif", gradient(64, 64), transform=beyond)
    report = run(collection, tmp_path)
    assert report.added == 4
    assert "nowhere on Earth" in report.to_json()["without_footprint"][0]["message"]


def test_the_error_that_ended_a_run_is_raised(collection: FakeCollection, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(make_png(1))
    collection.unreachable = Unreachable("Nobody answers.")
    with pytest.raises(Unreachable):
        run(collection, tmp_path)

    def entries() -> Iterator[ImageEntry]:
        yield ImageEntry(str(tmp_path / "a.png"))
        raise BadSource("The list is damaged.")

    collection.unreachable = None
    with pytest.raises(BadSource):
        run(collection, entries())


@pytest.mark.timeout(30)
def test_stopping_ends_a_run_that_would_go_on_for_ever(
    collection: FakeCollection, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(make_png(1))
    stop = threading.Event()

    def entries() -> Iterator[ImageEntry]:
        while True:
            yield ImageEntry(str(tmp_path / "a.png"))

    collection.on_item = lambda item: stop.set()
    report = IndexReport("default")
    for _ in index_entries(collection, entries(), SMALL, report, stop=stop):
        pass
    assert report.added >= 1


@pytest.mark.timeout(30)
def test_what_is_read_ahead_is_bounded(
    collection: FakeCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_run, "QUEUE_BYTES", 1)
    monkeypatch.setattr(index_run, "MAX_READERS", 1)
    taken = 0

    def entries() -> Iterator[ImageEntry]:
        nonlocal taken
        for i in range(300):
            taken += 1
            path = tmp_path / f"{i}.png"
            path.write_bytes(make_png(i % 256))
            yield ImageEntry(str(path))

    ahead: list[int] = []
    collection.on_item = lambda item: ahead.append(taken - len(collection.received))
    run(collection, entries())
    # One group planned beyond the one that is read.
    assert max(ahead) <= 2 * index_run.FILES_AT_ONCE
