"""What is added, replaced and deleted in a collection stays so, exactly, and after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from collection_points import (
    ARTIFACT,
    DIM,
    OTHER_ARTIFACT,
    OTHER_SPACE,
    SPACE,
    point,
    points,
    unit_rows,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rsq.errors import BadInput, EnvironmentFault, Exhausted, SpaceMismatch
from rsq.retrieval import Origin, Window
from rsq_agent.collections import collection as collection_module
from rsq_agent.collections import shard_builder as builder_module
from rsq_agent.collections.collection import Collection
from rsq_agent.collections.collection_store import CollectionStore


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


TESTS = Path(__file__).resolve().parents[3]
KILLED = """
import os, signal, sys
from pathlib import Path
from collection_points import *
from rsq_agent.collections.collection_store import CollectionStore
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
        env={**os.environ, "PYTHONPATH": str(TESTS)},
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
