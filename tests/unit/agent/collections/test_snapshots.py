"""Snapshots taken and restored, and compaction, on a store by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rsq.errors import Exhausted, IntegrityError
from rsq_agent.collections import shard as shard_module
from rsq_agent.collections import shard_builder as builder_module
from rsq_agent.collections.collection_store import CollectionStore
from rsq_agent.collections.index_points import IndexPoint
from rsq_agent.collections.shard_check import check_shard
from rsq_agent.collections.snapshots import restore_snapshot, take_snapshot

SPACE, ARTIFACT, DIMENSION = "5" * 64, "a" * 64, 32


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CollectionStore]:
    store = CollectionStore(tmp_path / "collections")
    yield store
    store.close()


def fill(store: CollectionStore, name: str, count: int) -> None:
    rows = np.random.default_rng(3).normal(size=(count, DIMENSION)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    collection = store.create(name, space_id=SPACE, dimension=DIMENSION)
    collection.add([IndexPoint(f"/{n}", row, ARTIFACT, SPACE) for n, row in enumerate(rows)])


def test_points_added_while_a_snapshot_is_read_are_not_in_it(store: CollectionStore) -> None:
    fill(store, "one", 20)
    with take_snapshot(store, "one") as snapshot:
        store.open("one").delete_prefix("/1")
        data = list(snapshot.pieces)
    assert sum(map(len, data)) == snapshot.total_bytes
    assert restore_snapshot(store, "two", data).count() == 20
    assert store.open("one").count() == 9
    assert store.names() == ["one", "two"]


def test_a_full_disk_is_said_and_leaves_nothing(
    store: CollectionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, "one", 5)
    monkeypatch.setattr(builder_module, "_RESERVE_BYTES", 1 << 62)
    with pytest.raises(Exhausted, match="MiB left"), take_snapshot(store, "one"):
        pass
    assert not list((tmp_path / "collections").glob(".new-*"))
    assert store.open("one").count() == 5


def test_an_empty_collection_has_a_snapshot_too(store: CollectionStore) -> None:
    fill(store, "one", 0)
    with take_snapshot(store, "one") as snapshot:
        assert restore_snapshot(store, "two", snapshot.pieces).count() == 0


def test_compacting_gives_room_back_and_keeps_every_point(store: CollectionStore) -> None:
    fill(store, "one", shard_module.EXACT_POINTS)
    collection = store.open("one")
    assert collection.optimize()
    collection.delete_prefix("/1")
    collection.delete_prefix("/2")
    left = collection.count()
    before, after = collection.compact()
    assert after < before
    assert collection.count() == left
    assert len(collection.scroll(None, limit=left + 1)[0]) == left


def test_a_folder_that_is_no_shard_is_refused_without_harm(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError):
        check_shard(tmp_path)
