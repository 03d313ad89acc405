"""Searches find what brute force finds, with an index and without, and while points are added."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from collection_points import ARTIFACT, OTHER_ARTIFACT, SPACE, point, points, unit_rows
from numpy.typing import NDArray

from rsq.errors import EnvironmentFault
from rsq.retrieval import BoundingBox, SearchFilter, Window
from rsq_agent.collections import collection as collection_module
from rsq_agent.collections import shard as shard_module
from rsq_agent.collections import shard_builder as builder_module
from rsq_agent.collections.collection import Collection
from rsq_agent.collections.collection_store import CollectionStore


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


def test_an_empty_collection_has_no_hits(ships: Collection) -> None:
    ships.add([])
    assert ships.search(unit_rows(1)[0], space_id=SPACE, limit=10) == []
    assert ships.stats().points == 0
    assert ships.stats().artifacts == {}


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


def hold_copies(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Builds set the first event once they have copied the points, and wait for the second."""
    copied, released = threading.Event(), threading.Event()
    copy = builder_module.copy_folder

    def copy_slowly(source: Path, target: Path) -> None:
        copy(source, target)
        copied.set()
        assert released.wait(30)

    monkeypatch.setattr(builder_module, "copy_folder", copy_slowly)
    return copied, released


def test_searches_go_on_and_additions_wait_while_an_index_is_built(
    large: Large, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []
    building, searched = hold_copies(monkeypatch)

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
    building, closing = hold_copies(monkeypatch)

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


def test_bounds_outlive_the_process(store: CollectionStore, ships: Collection) -> None:
    ships.add([point(0, unit_rows(1)[0], bbox=BoundingBox(0, 0, 100, 50))])
    store.close()
    reopened = CollectionStore(store._root)
    wanted = SearchFilter(bbox=BoundingBox(99, 49, 100, 50))
    hits = reopened.open("ships").search(unit_rows(1)[0], space_id=SPACE, limit=9, where=wanted)
    reopened.close()
    assert len(hits) == 1
