"""Snapshots as bytes: every change, cut and order of pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from rsq.errors import BadInput, EnvironmentFault, Exhausted, IntegrityError, RsqError
from rsq_agent.collections import snapshot_reader
from rsq_agent.collections.collection_record import CollectionRecord
from rsq_agent.collections.snapshot_index import encode_index
from rsq_agent.collections.snapshot_reader import SnapshotReader
from rsq_agent.collections.snapshot_writer import write_snapshot

RECORD = CollectionRecord("scenes", "5" * 64, 16, "2026-11-24T00:00:00+00:00", "shard-0")
HOLE = 1 << 20
FILES = {"edge_config.json": b"{}", "wal/first-index": b"x" * 700, "segments/0/empty": b""}


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    shard = tmp_path / "shard"
    for name, content in FILES.items():
        (shard / name).parent.mkdir(parents=True, exist_ok=True)
        (shard / name).write_bytes(content)
    with (shard / "vectors").open("wb") as file:  # a hole, data and a hole
        file.seek(HOLE)
        file.write(b"v")
        file.truncate(2 * HOLE)
    return shard


@pytest.fixture
def snapshot(shard: Path) -> bytes:
    return b"".join(write_snapshot(RECORD, 3, shard).pieces)


def restore(pieces: Iterable[bytes], folder: Path) -> None:
    SnapshotReader(pieces).write_files(folder)


@pytest.mark.parametrize("piece_bytes", [1, 511, 1 << 20])
def test_files_and_holes_are_restored_from_pieces_of_any_length(
    snapshot: bytes, shard: Path, tmp_path: Path, piece_bytes: int
) -> None:
    def pieces() -> Iterator[bytes]:
        for start in range(0, len(snapshot), piece_bytes):
            yield b""
            yield snapshot[start : start + piece_bytes]

    restore(pieces(), tmp_path / "restored")
    for path in (path for path in shard.rglob("*") if path.is_file()):
        restored = tmp_path / "restored" / path.relative_to(shard)
        assert restored.read_bytes() == path.read_bytes()
    assert (tmp_path / "restored/vectors").stat().st_blocks * 512 < HOLE


def test_every_changed_byte_is_found(snapshot: bytes, tmp_path: Path) -> None:
    # Every one of the index, its digest and the headers, and of long runs of alike ones some.
    for place in range(0, len(snapshot), 3):
        changed = snapshot[:place] + bytes([snapshot[place] ^ 0x20]) + snapshot[place + 1 :]
        with pytest.raises((BadInput, IntegrityError)):
            restore([changed], tmp_path / f"restored-{place}")


def test_every_cut_is_found(snapshot: bytes, tmp_path: Path) -> None:
    for end in range(0, len(snapshot), 101):
        with pytest.raises((BadInput, IntegrityError)):
            restore([snapshot[:end]], tmp_path / f"restored-{end}")
    with pytest.raises(IntegrityError):
        restore([snapshot, b"more"], tmp_path / "longer")


def test_a_disk_without_room_is_found_before_anything_is_written(
    snapshot: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path, size_bytes: int) -> None:
        raise Exhausted("full")

    monkeypatch.setattr(snapshot_reader, "require_space", refuse)
    with pytest.raises(Exhausted):
        restore([snapshot], tmp_path / "restored")
    assert not any((tmp_path / "restored").iterdir())


def test_a_file_that_shrinks_while_it_is_read_ends_the_snapshot(shard: Path) -> None:
    pieces = write_snapshot(RECORD, 3, shard).pieces
    next(pieces)
    (shard / "wal/first-index").write_bytes(b"x")
    with pytest.raises(IntegrityError, match="changed while"):
        list(pieces)


def test_a_collection_of_too_many_files_is_told_what_to_do(
    snapshot: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = SnapshotReader([snapshot]).index
    monkeypatch.setattr("rsq_agent.collections.snapshot_index.MAX_FILES", 2)
    with pytest.raises(EnvironmentFault, match="compact it"):
        encode_index(index)


def test_a_connection_that_breaks_is_told_as_such(snapshot: bytes, tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield snapshot[:3000]
        raise ConnectionError("gone")

    with pytest.raises((ConnectionError, RsqError)) as caught:
        restore(pieces(), tmp_path / "restored")
    assert "damaged" not in str(caught.value)
