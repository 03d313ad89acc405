"""What every blob store does. Add one to `any_blobs` and the whole suite runs on it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rsq.digest import digest_bytes
from rsq.errors import BadInput, EnvironmentFault, Exhausted, IntegrityError, NotFound
from rsq_registry.blobs import Blobs

ABSENT = digest_bytes(b"never stored")
LARGE = bytes(range(256)) * 9_000  # over two reading pieces


@pytest.fixture
def blobs(any_blobs: Blobs) -> Blobs:
    return any_blobs


@pytest.mark.parametrize("data", [b"", b"x", LARGE], ids=["empty", "one byte", "large"])
def test_returns_the_bytes_it_was_given(blobs: Blobs, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    digest = blobs.put_file(path)
    assert digest == digest_bytes(data) == blobs.put_bytes(data) == blobs.put_pieces([data, b""])
    assert blobs.has(digest)
    assert blobs.size(digest) == len(data)
    with blobs.open(digest) as file:
        assert file.read() == data
    assert list(blobs.digests()) == [digest]
    assert path.read_bytes() == data  # the source stays
    blobs.verify(digest)


def test_a_stored_blob_does_not_follow_later_changes_of_its_source(
    blobs: Blobs, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    digest = blobs.put_file(path)
    with path.open("r+b") as file:
        file.write(b"after!")
    blobs.verify(digest)


def test_reads_any_range_up_to_the_end(blobs: Blobs) -> None:
    digest = blobs.put_bytes(b"0123456789")
    assert blobs.read(digest, 0, 10) == b"0123456789"
    assert blobs.read(digest, 3, 4) == b"3456"
    assert blobs.read(digest, 8, 100) == b"89"
    assert blobs.read(digest, 10, 5) == b""
    assert blobs.read(digest, 5, 0) == b""


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (11, 1), (0, -1)])
def test_refuses_ranges_outside_the_blob(blobs: Blobs, offset: int, length: int) -> None:
    digest = blobs.put_bytes(b"0123456789")
    with pytest.raises(BadInput, match="outside the blob of 10 bytes"):
        blobs.read(digest, offset, length)


def test_bytes_of_another_digest_than_announced_leave_nothing(blobs: Blobs) -> None:
    with pytest.raises(IntegrityError, match="as announced"):
        blobs.put_bytes(b"these", expected=digest_bytes(b"those"))
    assert list(blobs.digests()) == []
    assert blobs.discard_unfinished(older_than_s=0) == 0


@pytest.mark.parametrize(
    ("failure", "seen"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), Exhausted),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), Exhausted),
        (OSError(errno.EIO, "Input/output error"), EnvironmentFault),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (NotFound("The upload ended."), NotFound),
    ],
    ids=["disk full", "quota", "device", "ctrl-c", "caller's own"],
)
def test_a_failure_in_the_middle_leaves_nothing(
    blobs: Blobs, failure: BaseException, seen: type[BaseException]
) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise failure

    with pytest.raises(seen):
        blobs.put_pieces(pieces())
    assert list(blobs.digests()) == []
    assert not blobs.has(digest_bytes(b"half"))
    assert blobs.discard_unfinished(older_than_s=0) == 0


def test_nothing_is_visible_before_the_last_piece(blobs: Blobs) -> None:
    whole = digest_bytes(b"first second")
    seen = []

    def pieces() -> Iterator[bytes]:
        yield b"first "
        seen.append((blobs.has(whole), list(blobs.digests())))
        yield b"second"
        seen.append((blobs.has(whole), list(blobs.digests())))

    assert blobs.put_pieces(pieces(), expected=whole) == whole
    assert seen == [(False, []), (False, [])]
    assert blobs.has(whole)


def test_an_unreadable_source_is_the_environments_fault(blobs: Blobs, tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(EnvironmentFault, match="can't be read"):
            blobs.put_file(path)
    assert blobs.discard_unfinished(older_than_s=0) == 0


def test_what_is_not_here_is_not_found(blobs: Blobs) -> None:
    assert not blobs.has(ABSENT)
    for use in (
        blobs.size,
        blobs.open,
        blobs.verify,
        blobs.delete,
        lambda digest: blobs.read(digest, 0, 1),
    ):
        with pytest.raises(NotFound, match=ABSENT):
            use(ABSENT)


@pytest.mark.parametrize("text", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_only_digests_name_blobs(blobs: Blobs, text: str) -> None:
    for use in (
        blobs.size,
        blobs.open,
        blobs.has,
        blobs.verify,
        blobs.delete,
        lambda digest: blobs.read(digest, 0, 1),
        lambda digest: blobs.put_bytes(b"", expected=digest),
    ):
        with pytest.raises(BadInput, match="not a SHA-256 digest"):
            use(text)


def test_a_deleted_blob_is_gone_and_can_come_back(blobs: Blobs) -> None:
    kept, digest = blobs.put_bytes(b"kept"), blobs.put_bytes(b"data")
    with blobs.open(digest) as file:
        blobs.delete(digest)
        assert file.read() == b"data"  # an open reader finishes
    assert not blobs.has(digest)
    assert list(blobs.digests()) == [kept]
    blobs.put_bytes(b"data")
    assert sorted(blobs.digests()) == sorted([kept, digest])


def test_many_writers_of_one_blob_all_succeed(blobs: Blobs) -> None:
    with ThreadPoolExecutor(8) as pool:
        digests = list(pool.map(blobs.put_bytes, [LARGE] * 24))
    assert set(digests) == {digest_bytes(LARGE)} == set(blobs.digests())
    blobs.verify(digests[0])
    assert blobs.discard_unfinished(older_than_s=0) == 0
