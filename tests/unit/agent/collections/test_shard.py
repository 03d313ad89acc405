"""What rsq relies on in Qdrant Edge, so that a new release can be judged by this file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from rsq.errors import EnvironmentFault, IntegrityError, InternalError
from rsq_agent.collections import shard as shard_module
from rsq_agent.collections.search_filter import URI, OneOf, StartsWith
from rsq_agent.collections.shard import Shard, ShardPoint
from rsq_agent.collections.stored_payload import ARTIFACT

DIM = 8


def make_points(numbers: range) -> list[ShardPoint]:
    rows = np.random.default_rng(0).normal(size=(numbers.stop, DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return [ShardPoint(UUID(int=n + 1), rows[n], {URI: f"/{n}", ARTIFACT: "a"}) for n in numbers]


def test_the_log_alone_brings_back_every_update_since_the_last_flush(tmp_path: Path) -> None:
    shard = Shard.create(tmp_path / "shard", DIM)
    shard.upsert(make_points(range(50)))
    shard.flush()
    # A power cut that loses every later page but those of the log.
    lost = tmp_path / "lost"
    shutil.copytree(tmp_path / "shard", lost)
    shard.upsert(make_points(range(50, 120)))
    shard.delete_uris(["/3", "/100"])
    shard.sync_log()
    shutil.rmtree(lost / "wal")
    shutil.copytree(tmp_path / "shard" / "wal", lost / "wal")
    shard.close()
    recovered = Shard.load(lost)
    assert recovered.count() == 118
    assert recovered.count_by_artifact() == {"a": 118}
    everything = make_points(range(120))
    gone = {UUID(int=4), UUID(int=101)}
    assert set(recovered.stamps([p.id for p in everything])) == {p.id for p in everything} - gone
    recovered.close()


def test_syncing_reaches_the_file_that_holds_the_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = Shard.create(tmp_path / "shard", DIM)
    marker = "/a uri to be found again in the log"
    (point,) = make_points(range(1))
    shard.upsert([ShardPoint(point.id, point.vector, {URI: marker, ARTIFACT: "a"})])
    synced: set[Path] = set()
    fsync = os.fsync

    def record(descriptor: int) -> None:
        fsync(descriptor)
        synced.add(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

    monkeypatch.setattr(os, "fsync", record)
    shard.sync_log()
    log = tmp_path / "shard" / "wal"
    holding = {path for path in log.iterdir() if marker.encode() in path.read_bytes()}
    assert holding
    assert holding | {log} <= synced
    shard.close()


def test_a_log_file_renamed_while_syncing_is_synced_under_its_new_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = Shard.create(tmp_path / "shard", DIM)
    log = tmp_path / "shard" / "wal"
    unfinished, finished = log / "tmp-open-7", log / "open-7"
    unfinished.touch()
    synced: set[Path] = set()
    fsync, open_file = os.fsync, os.open

    def rename_first(path: Path, flags: int) -> int:
        if path == unfinished:
            unfinished.rename(finished)
        return open_file(path, flags)

    def record(descriptor: int) -> None:
        fsync(descriptor)
        synced.add(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", rename_first)
        patched.setattr(os, "fsync", record)
        shard.sync_log()
    assert finished in synced
    finished.unlink()
    shard.close()


def test_a_failing_disk_is_an_environment_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = Shard.create(tmp_path / "shard", DIM)

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(EnvironmentFault, match="Input/output"):
            shard.sync_log()
    shard.close()


def test_a_second_process_cannot_open_a_shard(tmp_path: Path) -> None:
    shard = Shard.create(tmp_path / "shard", DIM)
    code = (
        "import sys\nfrom pathlib import Path\nfrom rsq.errors import EnvironmentFault\n"
        "from rsq_agent.collections.shard import Shard\n"
        "try:\n    Shard.load(Path(sys.argv[1]))\nexcept EnvironmentFault as e:\n    print(e)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "shard")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "Another process" in told.stdout
    shard.close()
    Shard.load(tmp_path / "shard").close()


def test_a_missing_shard_is_damage(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="missing"):
        Shard.load(tmp_path / "shard")


def test_what_the_library_raises_ends_here(tmp_path: Path) -> None:
    shard = Shard.create(tmp_path / "shard", DIM)
    shard.close()
    with pytest.raises(InternalError, match="Qdrant Edge failed at count"):
        shard.count()


def test_scrolling_gives_every_point_once_in_the_order_of_ids(tmp_path: Path) -> None:
    shard = Shard.create(tmp_path / "shard", DIM)
    points = make_points(range(25))
    shard.upsert(points[::-1])
    found, start = [], None
    while True:
        page, start = shard.scroll(start, limit=10)
        assert len(page) <= 10
        found += page
        if start is None:
            break
    assert [point.id for point in found] == [point.id for point in points]
    for before, after in zip(points, found, strict=True):
        assert after.vector == pytest.approx(before.vector, abs=1e-6)
        assert after.payload[URI] == before.payload[URI]
    shard.close()


def test_a_shard_from_before_filters_is_indexed_when_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(shard_module, "_INDEXES", {URI: shard_module._INDEXES[URI]})
        old = Shard.create(tmp_path / "shard", DIM)
        old.upsert(make_points(range(3)))
        old.close()
    shard = Shard.load(tmp_path / "shard")
    made = shard._shard.info().payload_schema
    assert set(made) == set(shard_module._INDEXES)
    hits = shard.search(np.ones(DIM, np.float32), limit=9, conditions=[StartsWith(URI, "/1")])
    assert [hit.payload[URI] for hit in hits] == ["/1"]
    shard.close()


def test_all_that_a_narrow_filter_leaves_is_compared_however_the_graph_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_module, "EXACT_POINTS", 200)
    shard = Shard.create(tmp_path / "shard", DIM)
    points = make_points(range(1000))
    shard.upsert(points)
    shard.optimize()
    left = points[::7]  # 143
    conditions = [OneOf(URI, tuple(point.payload[URI] for point in left))]
    rows = np.stack([point.vector for point in left])
    for query in make_points(range(2000, 2020)):
        best = np.argsort(-(rows @ query.vector))[:5]
        found = shard.search(query.vector, limit=5, conditions=conditions, width=1)
        assert [hit.payload[URI] for hit in found] == [left[i].payload[URI] for i in best]
    shard.close()
