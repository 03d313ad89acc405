"""rsq_agent.pulling.partial_file: what is kept over a kill, and what a power cut must not fake."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq.chunks import chunk_range, describe_file
from rsq.manifest import FileEntry
from rsq_agent.pulling.partial_file import PartialFile, allocated_bytes, bitmap_path, read_bitmap

DATA = bytes(range(256)) * 64 + b"tail"  # four chunks of 4 KiB and a short one


@pytest.fixture
def entry(tmp_path: Path) -> FileEntry:
    path = tmp_path / "whole"
    path.write_bytes(DATA)
    return describe_file(path, role="weights", name="weights", chunk_bytes=4096)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "partial" / "digest"


def _chunk(entry: FileEntry, index: int) -> bytes:
    offset, length = chunk_range(entry, index)
    return DATA[offset : offset + length]


def test_chunks_in_any_order_make_the_file(entry: FileEntry, path: Path) -> None:
    with PartialFile(path, entry) as partial:
        assert partial.missing() == [0, 1, 2, 3, 4]
        for index in (4, 0, 3, 1, 2):
            assert partial.write(index, [_chunk(entry, index)])
        assert partial.missing() == []
    assert path.read_bytes() == DATA


def test_the_second_writer_of_a_chunk_is_told_so(entry: FileEntry, path: Path) -> None:
    with PartialFile(path, entry) as partial:
        assert partial.write(1, [_chunk(entry, 1)])
        assert not partial.write(1, [_chunk(entry, 1)])


def test_what_was_written_is_there_after_opening_again(entry: FileEntry, path: Path) -> None:
    with PartialFile(path, entry) as partial:
        partial.write(2, [_chunk(entry, 2)])
    with PartialFile(path, entry) as partial:
        partial.recheck()
        assert partial.missing() == [0, 1, 3, 4]
    assert read_bitmap(path, entry).missing() == [0, 1, 3, 4]


@pytest.mark.parametrize("position", [0, 4095, 4096 * 2 + 7])
def test_a_chunk_damaged_on_disk_is_forgotten(entry: FileEntry, path: Path, position: int) -> None:
    with PartialFile(path, entry) as partial:
        for index in range(5):
            partial.write(index, [_chunk(entry, index)])
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with PartialFile(path, entry) as partial:
        partial.recheck()
        assert partial.missing() == [position // 4096]


@pytest.mark.parametrize("bitmap", [b"", b"\xff", b"\xff" * 9], ids=["lost", "full", "longer"])
def test_a_bitmap_that_claims_what_is_not_there_is_corrected(
    entry: FileEntry, path: Path, bitmap: bytes
) -> None:
    with PartialFile(path, entry) as partial:
        partial.write(0, [_chunk(entry, 0)])
    bitmap_path(path).write_bytes(bitmap)
    with PartialFile(path, entry) as partial:
        partial.recheck()
        assert set(partial.missing()) >= {1, 2, 3, 4}


def test_a_transfer_that_never_began_holds_nothing(entry: FileEntry, path: Path) -> None:
    assert read_bitmap(path, entry).missing() == [0, 1, 2, 3, 4]
    assert allocated_bytes(path) == 0


def test_a_sparse_file_takes_only_what_was_written(entry: FileEntry, path: Path) -> None:
    with PartialFile(path, entry) as partial:
        partial.write(3, [_chunk(entry, 3)])
        size_bytes = path.stat().st_size
    assert size_bytes == entry.size_bytes
    assert 4096 <= allocated_bytes(path) < size_bytes
