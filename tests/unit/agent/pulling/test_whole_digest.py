"""rsq_agent.pulling.whole_digest: the digest of a file that is still arriving."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from rsq.chunks import chunk_range, describe_file
from rsq_agent.pulling.partial_file import PartialFile
from rsq_agent.pulling.whole_digest import WholeDigest

DATA = os.urandom(5 * 4096 + 17)


@pytest.fixture
def partial(tmp_path: Path) -> PartialFile:
    path = tmp_path / "whole"
    path.write_bytes(DATA)
    entry = describe_file(path, role="weights", name="weights", chunk_bytes=4096)
    return PartialFile(tmp_path / "partial" / "digest", entry)


def _write(partial: PartialFile, index: int) -> None:
    offset, length = chunk_range(partial.entry, index)
    partial.write(index, [DATA[offset : offset + length]])


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 4, 2]])
def test_it_is_the_files_whatever_the_order_of_the_chunks(
    partial: PartialFile, order: list[int]
) -> None:
    _write(partial, order[0])  # one that a cut-off transfer left
    with partial, WholeDigest(partial) as whole:
        for index in order[1:]:
            _write(partial, index)
        assert whole.result() == hashlib.sha256(DATA).hexdigest()


def test_it_ends_with_a_transfer_that_fails(partial: PartialFile) -> None:
    whole = WholeDigest(partial)
    with partial, whole:
        _write(partial, 0)
    assert not whole._thread.is_alive()


def test_a_disk_that_fails_is_told_to_whoever_asks(
    partial: PartialFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    with partial, WholeDigest(partial) as whole:
        for index in range(6):
            _write(partial, index)
        with pytest.raises(OSError, match="Input/output"):
            whole.result()


def test_what_it_says_is_on_the_disk(partial: PartialFile, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    sync = os.fdatasync

    def note(descriptor: int) -> None:
        sync(descriptor)
        synced.append(len(partial.missing()))

    monkeypatch.setattr(os, "fdatasync", note)
    with partial, WholeDigest(partial) as whole:
        for index in range(6):
            _write(partial, index)
        whole.result()
    assert synced[-1] == 0
