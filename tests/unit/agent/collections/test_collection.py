"""One collection: what goes in comes out, exactly, under threads and after a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rsq.errors import BadInput, EnvironmentFault, Exhausted, SpaceMismatch
from rsq.retrieval import BoundingBox, Origin, SearchFilter, Window
from rsq_agent.collections import collection as collection_module
from rsq_agent.collections import shard as shard_module
from rsq_agent.collections import shard_builder as builder_module
from rsq_agent.collections.collection import Collection
from rsq_agent.collections.collection_store import CollectionStore
from rsq_agent.collections.index_points import IndexPoint

SPACE = "a" * 64
OTHER_SPACE = "b" * 64
ARTIFACT = "c" * 64
OTHER_ARTIFACT = "d" * 64
DIM = 16


def unit_rows(count: int, dimension: int = DIM, seed: int = 0) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def point(number: int, vector: NDArray[np.float32], **changes: Any) -> IndexPoint:
    return replace(IndexPoint(f"/images/{number:05d}.jpg", vector, ARTIFACT, SPACE), **changes)


def points(rows: NDArray[np.float32]) -> list[IndexPoint]:
    return [point(number, row) for number, row in enumerate(rows)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CollectionStore]:
    store = CollectionStore(tmp_path)
    yield store
    store.close()


@pytest.fixture
def ships(store: CollectionStore) -> Collection:
    return store.create("ships", space_id=SPACE, dimension=DIM)


def test_a_search_equals_brute_force(ships: Collection) -> None:
    rows = unit_rows(1500)
    ships.add(points(rows))
    for query in unit_rows(20, seed=1):
        hits = ships.search(query, space_id=SPACE, limit=25, offset=3)
        cosines = rows @ query
        best = np.argsort(-cosines)[3:28]
        assert [hit.uri for hit in hits] == [f"/images/{number:05d}.jpg" for number in best]
        np.testing.assert_allclose([hit.score for hit in hits], cosines[best], atol=1e-6)


def test_a_score_is_a_cosine_whatever_the_length_of_the_query(ships: Collection) -> None:
    rows = unit_rows(3)
    ships.add(points(rows))
    hits = ships.search(rows[1] * np.float32(40), space_id=SPACE, limit=3)
    assert hits[0].uri == "/images/00001.jpg"
    assert hits[0].score == pytest.approx(1, abs=1e-6)
    assert hits[0].score <= 1


def test_a_minimum_score_cuts_the_hits(ships: Collection) -> None:
    rows = unit_rows(200)
    ships.add(points(rows))
    hits = ships.search(rows[0], space_id=SPACE, limit=200, min_score=0.2)
    assert len(hits) == int((rows @ rows[0] >= 0.2).sum())


def test_everything_known_of_a_point_comes_back(ships: Collection) -> None:
    row = unit_rows(1)[0]
    full = point(
        0,
        row,
        uri="/archive/Häfen und Schiffe/港.tif",
        window=Window(256, 0, 512, 512),
        bbox=BoundingBox(9.9, 53.5, 10.0, 53.6),
        datetime="2024-05-01T10:30:00Z",
        tags=("harbour", "ship"),
    )
    ships.add([full])
    (hit,) = ships.search(row, space_id=SPACE, limit=5)
    assert (hit.uri, hit.artifact_id) == (full.uri, ARTIFACT)
    assert hit.payload == {
        "window": {"x": 256, "y": 0, "width": 512, "height": 512},
        "bbox": {"west": 9.9, "south": 53.5, "east": 10.0, "north": 53.6},
        "datetime": "2024-05-01T10:30:00Z",
        "tags": ["harbour", "ship"],
    }


def test_a_point_of_which_only_the_uri_is_known_has_an_empty_payload(ships: Collection) -> None:
    ships.add([point(0, unit_rows(1)[0])])
    assert ships.search(unit_rows(1)[0], space_id=SPACE, limit=1)[0].payload == {}


def test_adding_an_image_again_replaces_it_and_its_tiles_stay_apart(ships: Collection) -> None:
    old, new = unit_rows(2)
    ships.add([point(0, old, tags=("old",))])
    ships.add([point(0, old, window=Window(x, 0, 64, 64)) for x in (0, 64)])
    assert ships.count() == 3
    ships.add([point(0, new, artifact_id=OTHER_ARTIFACT)])
    assert ships.count() == 3
    assert ships.stats().artifacts == {ARTIFACT: 2, OTHER_ARTIFACT: 1}
    (best, *_) = ships.search(new, space_id=SPACE, limit=3)
    assert best.score == pytest.approx(1, abs=1e-6)
    assert best.payload == {}


def test_the_last_of_two_in_one_batch_wins(ships: Collection) -> None:
    first, last = unit_rows(2)
    ships.add([point(0, first), point(0, last)])
    assert ships.count() == 1
    assert ships.search(last, space_id=SPACE, limit=1)[0].score == pytest.approx(1, abs=1e-6)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batches=st.lists(st.lists(st.integers(0, 29), max_size=40), max_size=4))
def test_any_order_and_repetition_gives_the_same_collection(
    ships: Collection, batches: list[list[int]]
) -> None:
    rows = unit_rows(30)
    ships.delete_prefix("/")  # a new collection an example would take seconds
    for batch in batches:
        ships.add([point(number, rows[number], tags=(f"t{number}",)) for number in batch])
    expected = {number for batch in batches for number in batch}
    assert ships.count() == len(expected)
    assert ships.stats().artifacts == ({ARTIFACT: len(expected)} if expected else {})
    hits = ships.search(rows[0], space_id=SPACE, limit=30)
    cosines = rows @ rows[0]
    assert [hit.payload["tags"] for hit in hits] == [
        [f"t{number}"] for number in sorted(expected, key=lambda number: -cosines[number])
    ]


def test_a_vector_of_another_space_is_refused_at_the_same_dimension(ships: Collection) -> None:
    row = unit_rows(1)[0]
    with pytest.raises(SpaceMismatch):
        ships.add([point(0, row), point(1, row, space_id=OTHER_SPACE)])
    assert ships.count() == 0
    with pytest.raises(SpaceMismatch, match="can't be compared"):
        ships.search(row, space_id=OTHER_SPACE, limit=1)


def broken_vectors() -> dict[str, NDArray[Any]]:
    row = unit_rows(1)[0]
    nan, infinite = row.copy(), row.copy()
    nan[3], infinite[3] = np.nan, np.inf
    return {
        "nan": nan,
        "infinite": infinite,
        "short": row[:-1],
        "long": np.append(row, np.float32(0)),
        "two-dimensional": row[None],
        "zero": np.zeros(DIM, np.float32),
        "integers": np.ones(DIM, np.int64),
    }


@pytest.mark.parametrize("kind", broken_vectors())
def test_a_broken_vector_is_refused_and_nothing_of_its_batch_stored(
    ships: Collection, kind: str
) -> None:
    broken = broken_vectors()[kind]
    with pytest.raises(BadInput):
        ships.add([point(0, unit_rows(1)[0]), point(1, broken)])
    assert ships.count() == 0
    with pytest.raises(BadInput):
        ships.search(broken, space_id=SPACE, limit=1)


def test_an_empty_collection_has_no_hits(ships: Collection) -> None:
    ships.add([])
    assert ships.search(unit_rows(1)[0], space_id=SPACE, limit=10) == []
    assert ships.stats().points == 0
    assert ships.stats().artifacts == {}


def test_deleting_uris_takes_all_their_tiles_and_says_how_many(ships: Collection) -> None:
    row = unit_rows(1)[0]
    ships.add([point(number, row) for number in range(4)])
    ships.add([point(1, row, window=Window(0, 0, 8, 8))])
    assert ships.delete(["/images/00001.jpg", "/images/00003.jpg", "/not/there.jpg"]) == 3
    assert {hit.uri for hit in ships.search(row, space_id=SPACE, limit=9)} == {
        "/images/00000.jpg",
        "/images/00002.jpg",
    }
    assert ships.delete([]) == 0
    assert ships.stats().artifacts == {ARTIFACT: 2}


def test_deleting_a_prefix_is_by_text_and_never_by_nothing(ships: Collection) -> None:
    row = unit_rows(1)[0]
    for uri in ("/a/b/1.jpg", "/a/b/c/2.jpg", "/a/bc.jpg", "/z/a/b/3.jpg"):
        ships.add([point(0, row, uri=uri)])
    assert ships.delete_prefix("/a/b/") == 2
    assert ships.delete_prefix("/a/b") == 1
    with pytest.raises(BadInput):
        ships.delete_prefix("")
    assert ships.count() == 1


def test_an_artifact_whose_points_are_all_gone_is_not_counted(ships: Collection) -> None:
    ships.add([point(0, unit_rows(1)[0]), point(1, unit_rows(1)[0], artifact_id=OTHER_ARTIFACT)])
    ships.delete(["/images/00001.jpg"])
    assert ships.stats().artifacts == {ARTIFACT: 1}


def test_an_image_is_told_from_its_tiles_and_from_its_changed_self(ships: Collection) -> None:
    tile = Window(0, 0, 8, 8)
    ships.add([point(0, unit_rows(1)[0], window=tile, stamp="1-1")])
    uri = "/images/00000.jpg"
    asked = [Origin(uri, tile), Origin(uri, tile, "1-1"), Origin(uri, tile, "1-2"), Origin(uri)]
    assert ships.find_stored(asked) == [True, True, False, False]
    assert ships.find_stored([]) == []


def test_statistics_count_the_disk_that_is_taken_and_no_holes(
    ships: Collection, tmp_path: Path
) -> None:
    ships.add(points(unit_rows(500)))
    stats = ships.stats()
    apparent = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert 500 * DIM * 4 <= stats.bytes_on_disk < apparent / 10
    assert (stats.points, stats.dimension, stats.space_id) == (500, DIM, SPACE)


def test_a_closed_collection_refuses_everything_and_closes_twice(ships: Collection) -> None:
    ships.close()
    ships.close()
    row = unit_rows(1)[0]
    for call in (
        lambda: ships.add([point(0, row)]),
        lambda: ships.search(row, space_id=SPACE, limit=1),
        lambda: ships.delete(["/a"]),
        ships.count,
        ships.flush,
    ):
        with pytest.raises(EnvironmentFault, match="closed"):
            call()


def test_a_nearly_full_disk_stops_additions(
    ships: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder_module, "_RESERVE_BYTES", 1 << 62)
    with pytest.raises(Exhausted, match="ships"):
        ships.add([point(0, unit_rows(1)[0])])
    assert ships.count() == 0


def test_a_full_disk_stops_the_opening_by_name_instead_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(CollectionStore(tmp_path)) as store:
        store.create("ships", space_id=SPACE, dimension=DIM)
    with closing(CollectionStore(tmp_path)) as store:
        monkeypatch.setattr(builder_module, "_OPENING_BYTES", 1 << 62)
        with pytest.raises(Exhausted, match="to open it"):
            store.open("ships")
        monkeypatch.undo()
        assert store.open("ships").count() == 0


KILLED = """
import os, signal, sys
from pathlib import Path
from test_collection import *
store = CollectionStore(Path(sys.argv[1]))
collection = store.create("ships", space_id=SPACE, dimension=DIM)
rows = unit_rows(700)
collection.add(points(rows[:300]))
collection.add(points(rows[:300]))
collection.add([point(n, rows[n], artifact_id=OTHER_ARTIFACT) for n in range(300, 700)])
collection.delete(["/images/00007.jpg"])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    store = CollectionStore(tmp_path)
    collection = store.open("ships")
    assert collection.stats().points == 699
    assert collection.stats().artifacts == {ARTIFACT: 299, OTHER_ARTIFACT: 400}
    rows = unit_rows(700)
    for number in (0, 299, 300, 699):
        (hit,) = collection.search(rows[number], space_id=SPACE, limit=1)
        assert hit.uri == f"/images/{number:05d}.jpg"
        assert hit.score == pytest.approx(1, abs=1e-6)
    store.close()


def test_what_is_acknowledged_is_on_the_disk(
    ships: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", record)
    for change in (
        lambda: ships.add(points(unit_rows(3))),
        lambda: ships.delete(["/images/00000.jpg"]),
        lambda: ships.delete_prefix("/images"),
    ):
        synced.clear()
        change()
        assert [path for path in synced if "/wal/open-" in path]


def test_flushing_now_and_then_loses_nothing(
    ships: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection_module, "_FLUSH_BYTES", 100 * DIM * 4)
    rows = unit_rows(500)
    for start in range(0, 500, 40):
        ships.add([point(number, rows[number]) for number in range(start, min(start + 40, 500))])
    ships.close()
    reopened = Collection(tmp_path / "ships")
    assert reopened.stats().artifacts == {ARTIFACT: 500}
    reopened.close()


def run_threads(work: list[Any]) -> list[Exception]:
    errors: list[Exception] = []

    def guard(task: Any) -> None:
        try:
            task()
        except Exception as e:  # noqa: BLE001 - handed to the test
            errors.append(e)

    threads = [threading.Thread(target=guard, args=(task,)) for task in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_searches_stay_right_while_points_are_added(ships: Collection) -> None:
    rows = unit_rows(2000)
    known = points(rows[:200])
    ships.add(known)
    done = threading.Event()
    searched = []

    def add() -> None:
        try:
            for start in range(200, 2000, 60):
                ships.add([point(n, rows[n]) for n in range(start, min(start + 60, 2000))])
        finally:
            done.set()

    def search(first: int) -> None:
        number = first
        while not done.is_set():
            (hit,) = ships.search(rows[number], space_id=SPACE, limit=1)
            assert hit.uri == known[number].uri
            searched.append(number)
            number = (number + 1) % 200

    assert run_threads([add, *(lambda first=n: search(first) for n in (0, 50, 100))]) == []
    assert searched
    assert ships.count() == 2000
    assert [hit.uri for hit in ships.search(rows[1999], space_id=SPACE, limit=1)] == [
        "/images/01999.jpg"
    ]


class Large(NamedTuple):
    collection: Collection
    rows: NDArray[np.float32]


@pytest.fixture
def large(store: CollectionStore, monkeypatch: pytest.MonkeyPatch) -> Large:
    """2,500 points of 64 dimensions, in a program for which 1,000 points are many."""
    for module in (shard_module, collection_module):
        monkeypatch.setattr(module, "EXACT_POINTS", 1000)
    collection = store.create("large", space_id=SPACE, dimension=64)
    rows = unit_rows(2500, 64)
    collection.add(points(rows))
    return Large(collection, rows)


def recall_at_10(large: Large) -> float:
    found = 0
    for query in unit_rows(50, 64, seed=1):
        best = {f"/images/{number:05d}.jpg" for number in np.argsort(-(large.rows @ query))[:10]}
        hits = large.collection.search(query, space_id=SPACE, limit=10)
        found += len(best & {hit.uri for hit in hits})
    return found / 500


def test_an_index_finds_what_brute_force_finds(large: Large, tmp_path: Path) -> None:
    before = {path.name for path in (tmp_path / "large").glob("shard-*")}
    assert large.collection.optimize() is True
    after = {path.name for path in (tmp_path / "large").glob("shard-*")}
    assert len(after) == 1
    assert not after & before
    assert recall_at_10(large) >= 0.99
    assert large.collection.optimize() is False
    large.collection.add([point(9000, -large.rows[0], artifact_id=OTHER_ARTIFACT)])
    (hit,) = large.collection.search(-large.rows[0], space_id=SPACE, limit=1)
    assert hit.uri == "/images/09000.jpg"
    assert large.collection.stats().artifacts == {ARTIFACT: 2500, OTHER_ARTIFACT: 1}


def test_an_index_is_used_again_after_reopening(large: Large, tmp_path: Path) -> None:
    assert large.collection.optimize() is True
    large.collection.close()
    reopened = Collection(tmp_path / "large")
    assert recall_at_10(Large(reopened, large.rows)) >= 0.99
    assert reopened.optimize() is False
    reopened.close()


def test_small_collections_build_no_index(ships: Collection) -> None:
    ships.add(points(unit_rows(50)))
    assert ships.optimize() is False


def test_searches_go_on_and_additions_wait_while_an_index_is_built(
    large: Large, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []
    building, searched = threading.Event(), threading.Event()
    copy = builder_module.copy_folder

    def copy_slowly(source: Path, target: Path) -> None:
        copy(source, target)
        building.set()
        assert searched.wait(30)

    monkeypatch.setattr(builder_module, "copy_folder", copy_slowly)

    def build() -> None:
        assert large.collection.optimize() is True
        order.append("built")

    def search() -> None:
        assert building.wait(30)
        (hit,) = large.collection.search(large.rows[5], space_id=SPACE, limit=1)
        assert hit.uri == "/images/00005.jpg"
        order.append("searched")
        searched.set()

    def add() -> None:
        assert building.wait(30)
        large.collection.add([point(9000, -large.rows[0])])
        order.append("added")

    assert run_threads([build, search, add]) == []
    assert order[0] == "searched"
    # The addition went into the points that are in use now, not into those the build replaced.
    (hit,) = large.collection.search(-large.rows[0], space_id=SPACE, limit=1)
    assert hit.uri == "/images/09000.jpg"
    assert large.collection.count() == 2501


def test_a_failed_build_leaves_the_points_as_they_were(
    large: Large, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_half(source: Path, target: Path) -> None:
        shutil.copytree(source, target)
        (target / "edge_config.json").write_text("{")

    monkeypatch.setattr(builder_module, "copy_folder", copy_half)
    with pytest.raises(EnvironmentFault, match="could not be built"):
        large.collection.optimize()
    assert len(list((tmp_path / "large").glob("shard-*"))) == 1
    assert recall_at_10(large) == 1


def test_closing_ends_a_build(large: Large, monkeypatch: pytest.MonkeyPatch) -> None:
    building, closing = threading.Event(), threading.Event()
    copy = builder_module.copy_folder

    def copy_slowly(source: Path, target: Path) -> None:
        copy(source, target)
        building.set()
        assert closing.wait(30)

    monkeypatch.setattr(builder_module, "copy_folder", copy_slowly)

    def close() -> None:
        assert building.wait(30)
        threading.Timer(0.1, closing.set).start()
        large.collection.close()

    errors = run_threads([large.collection.optimize, close])
    assert [type(error) for error in errors] == [EnvironmentFault]
    assert "closed" in str(errors[0])


@pytest.mark.timeout(60)
def test_closing_ends_a_builder_that_would_run_for_an_hour(
    large: Large, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, builder = tmp_path / "started", tmp_path / "builder"
    builder.write_text(f"#!/bin/sh\ntouch '{started}'\nexec sleep 3600\n")
    builder.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(builder))

    def close() -> None:
        while not started.exists():
            time.sleep(0.01)
        large.collection.close()

    errors = run_threads([large.collection.optimize, close])
    assert [type(error) for error in errors] == [EnvironmentFault]
    assert len(list((tmp_path / "large").glob("shard-*"))) == 1


def test_a_collection_without_bounds_of_its_boxes_still_finds_them(
    store: CollectionStore, ships: Collection, tmp_path: Path
) -> None:
    box = BoundingBox(10, 20, 12, 21)
    ships.add([point(0, unit_rows(1)[0], bbox=box), point(1, unit_rows(1)[0])])
    store.close()
    record = tmp_path / "ships" / "collection.json"
    fields = json.loads(record.read_text())
    assert fields.pop("extents")["width"] >= 2
    record.write_text(json.dumps(fields))
    reopened = CollectionStore(tmp_path)
    collection = reopened.open("ships")
    collection.add([point(2, unit_rows(1)[0], bbox=box)])
    wanted = SearchFilter(bbox=BoundingBox(11.9, 0, 50, 50))
    hits = collection.search(unit_rows(1)[0], space_id=SPACE, limit=9, where=wanted)
    reopened.close()
    assert {hit.uri for hit in hits} == {"/images/00000.jpg", "/images/00002.jpg"}


def test_bounds_outlive_the_process(store: CollectionStore, ships: Collection) -> None:
    ships.add([point(0, unit_rows(1)[0], bbox=BoundingBox(0, 0, 100, 50))])
    store.close()
    reopened = CollectionStore(store._root)
    wanted = SearchFilter(bbox=BoundingBox(99, 49, 100, 50))
    hits = reopened.open("ships").search(unit_rows(1)[0], space_id=SPACE, limit=9, where=wanted)
    reopened.close()
    assert len(hits) == 1
