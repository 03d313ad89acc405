"""rsq_server.uploads: what arrives in pieces becomes a blob only when it is whole and right."""

from __future__ import annotations

import errno
import os
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from rsq.chunks import MAX_CALL_BYTES
from rsq.digest import digest_bytes
from rsq.errors import BadInput, Exhausted, IntegrityError
from rsq.manifest import MAX_FILE_BYTES
from rsq_registry.blobs import BlobStore
from rsq_server import uploads as uploads_module
from rsq_server.uploads import HEADROOM_BYTES, Progress, Uploads

DATA = bytes(range(256)) * 40
DIGEST = digest_bytes(DATA)
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


@pytest.fixture
def uploads(tmp_path: Path, blobs: BlobStore) -> Uploads:
    return Uploads(tmp_path / "uploads", blobs)


def _files(tmp_path: Path) -> list[str]:
    return [p.name for p in (tmp_path / "uploads").iterdir() if p.suffix != ".lock"]


def test_pieces_of_several_calls_become_a_blob(
    uploads: Uploads, blobs: BlobStore, tmp_path: Path
) -> None:
    assert uploads.held_bytes(DIGEST) == 0
    assert uploads.append(DIGEST, len(DATA), 0, [DATA[:100], DATA[100:3000]]) == Progress(
        3000, False
    )
    assert uploads.held_bytes(DIGEST) == 3000
    assert not blobs.has(DIGEST)
    assert uploads.append(DIGEST, len(DATA), 3000, [DATA[3000:]]).complete
    assert blobs.read(DIGEST, 0, len(DATA)) == DATA
    assert _files(tmp_path) == []


def test_an_empty_blob_needs_no_bytes(uploads: Uploads, blobs: BlobStore) -> None:
    empty = digest_bytes(b"")
    assert uploads.append(empty, 0, 0, [b""]).complete
    assert blobs.has(empty)


def test_what_is_there_already_is_complete_at_once(uploads: Uploads, blobs: BlobStore) -> None:
    blobs.put_bytes(DATA)
    assert uploads.append(DIGEST, len(DATA), 0, iter([b"ignored"])).complete


def test_what_arrived_before_the_line_was_cut_is_kept(uploads: Uploads) -> None:
    def cut() -> Iterator[bytes]:
        yield DATA[:5000]
        raise ConnectionResetError("cut")

    with pytest.raises(Exception, match="cut"):
        uploads.append(DIGEST, len(DATA), 0, cut())
    assert uploads.held_bytes(DIGEST) == 5000
    assert uploads.append(DIGEST, len(DATA), 5000, [DATA[5000:]]).complete


@pytest.mark.parametrize("offset", [1, 4999, 5001, len(DATA)])
def test_another_offset_than_what_is_held_is_refused(uploads: Uploads, offset: int) -> None:
    uploads.append(DIGEST, len(DATA), 0, [DATA[:5000]])
    with pytest.raises(BadInput, match="5000 bytes"):
        uploads.append(DIGEST, len(DATA), offset, [DATA[offset:]])


def test_other_bytes_are_forgotten(uploads: Uploads, blobs: BlobStore) -> None:
    with pytest.raises(IntegrityError):
        uploads.append(DIGEST, len(DATA), 0, [DATA[:-1] + b"x"])
    assert uploads.held_bytes(DIGEST) == 0
    assert not blobs.has(DIGEST)
    assert uploads.append(DIGEST, len(DATA), 0, [DATA]).complete


def test_more_than_announced_is_refused(uploads: Uploads) -> None:
    with pytest.raises(BadInput, match="More arrived"):
        uploads.append(DIGEST, len(DATA), 0, [DATA, b"more"])


def test_more_than_a_call_may_bring_is_refused(uploads: Uploads) -> None:
    with pytest.raises(BadInput, match="one call"):
        uploads.append(DIGEST, 1 << 30, 0, [bytes(MAX_CALL_BYTES), b"x"])


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, DIGEST + "0"])
def test_a_name_that_is_no_digest_never_becomes_a_path(uploads: Uploads, digest: str) -> None:
    with pytest.raises(BadInput):
        uploads.append(digest, 1, 0, [b"x"])
    with pytest.raises(BadInput):
        uploads.held_bytes(digest)


@pytest.mark.parametrize("size_bytes", [-1, MAX_FILE_BYTES + 1])
def test_an_impossible_size_is_refused(uploads: Uploads, size_bytes: int) -> None:
    with pytest.raises(BadInput):
        uploads.append(DIGEST, size_bytes, 0, [])


def test_one_writer_a_blob(uploads: Uploads, tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir()
    with (
        FileLock(tmp_path / "uploads" / f"{DIGEST}.lock"),
        pytest.raises(Exhausted, match="Somebody else"),
    ):
        uploads.append(DIGEST, len(DATA), 0, [DATA])


def test_a_disk_too_small_is_said_before_anything_arrives(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads_module, "HEADROOM_BYTES", 1 << 60)
    with pytest.raises(Exhausted, match="free"):
        uploads.append(DIGEST, len(DATA), 0, [DATA])


def test_room_for_the_store_s_copy_is_asked_for(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = HEADROOM_BYTES + 2 * len(DATA)
    monkeypatch.setattr(uploads_module.shutil, "disk_usage", lambda folder: Usage(0, 0, free))
    assert not uploads.append(DIGEST, len(DATA), 0, [DATA[:10]]).complete
    monkeypatch.setattr(uploads_module.shutil, "disk_usage", lambda folder: Usage(0, 0, free - 11))
    with pytest.raises(Exhausted, match="too little"):
        uploads.append(DIGEST, len(DATA), 10, [DATA[10:]])


def test_a_full_disk_is_said_as_such_and_keeps_what_arrived(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    uploads.append(DIGEST, len(DATA), 0, [DATA[:100]])
    with monkeypatch.context() as patch:
        patch.setattr(uploads_module.os, "fsync", full)
        with pytest.raises(Exhausted, match="disk is full"):
            uploads.append(DIGEST, len(DATA), 100, [DATA[100:5000]])
    assert uploads.append(DIGEST, len(DATA), 5000, [DATA[5000:]]).complete


def test_more_than_the_blob_has_is_forgotten(uploads: Uploads) -> None:
    uploads.append(DIGEST, 1 << 20, 0, [bytes(len(DATA) + 1)])
    with pytest.raises(IntegrityError, match="send it anew"):
        uploads.append(DIGEST, len(DATA), len(DATA) + 1, [])
    assert uploads.append(DIGEST, len(DATA), 0, [DATA]).complete


def test_uploads_at_work_are_not_discarded(uploads: Uploads, tmp_path: Path) -> None:
    uploads.append(DIGEST, len(DATA), 0, [DATA[:10]])
    with FileLock(tmp_path / "uploads" / f"{DIGEST}.lock"):
        assert uploads.discard_unfinished(older_than_s=0) == 0
    assert uploads.held_bytes(DIGEST) == 10


def test_locks_of_finished_uploads_are_discarded(uploads: Uploads, tmp_path: Path) -> None:
    uploads.append(DIGEST, len(DATA), 0, [DATA])
    assert uploads.discard_unfinished(older_than_s=60) == 0
    assert list((tmp_path / "uploads").iterdir()) == []


def test_uploads_that_nobody_goes_on_with_are_discarded(uploads: Uploads, tmp_path: Path) -> None:
    assert uploads.discard_unfinished(older_than_s=0) == 0
    uploads.append(DIGEST, len(DATA), 0, [DATA[:10]])
    assert uploads.discard_unfinished(older_than_s=60) == 0
    for path in (tmp_path / "uploads").iterdir():
        os.utime(path, (0, 0))
    assert uploads.discard_unfinished(older_than_s=60) == 1
    assert uploads.held_bytes(DIGEST) == 0
