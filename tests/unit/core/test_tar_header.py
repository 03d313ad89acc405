"""rsq.tar_header: headers that every tar reads, and the sizes in them."""

from __future__ import annotations

import io
import tarfile

import pytest

from rsq.tar_header import BLOCK_BYTES, TRAILER, decode_size, encode_header, padding_bytes

NAME = "blobs/sha256/" + "a" * 64
SIZES = [0, 1, 511, 512, 513, 8**11 - 1, 8**11, 1 << 40]


@pytest.mark.parametrize("size_bytes", SIZES)
def test_python_reads_a_plain_file_that_nobody_owns(size_bytes: int) -> None:
    member = tarfile.TarInfo.frombuf(encode_header(NAME, size_bytes), "utf-8", "strict")
    assert (member.name, member.size, member.isreg()) == (NAME, size_bytes, True)
    assert (member.mode, member.mtime, member.uid, member.gid) == (0o644, 0, 0, 0)
    assert (member.uname, member.gname, member.linkname) == ("", "", "")


def test_an_archive_of_two_files_is_listed_and_read() -> None:
    data = b"".join(
        encode_header(name, len(content)) + content + bytes(padding_bytes(len(content)))
        for name, content in (("one", b"1" * 700), ("two", b"2" * 512))
    )
    with tarfile.open(fileobj=io.BytesIO(data + TRAILER)) as archive:
        read = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]
    assert read == {"one": b"1" * 700, "two": b"2" * 512}


@pytest.mark.parametrize("size_bytes", SIZES[:6])
def test_octal_sizes_come_back(size_bytes: int) -> None:
    assert decode_size(encode_header(NAME, size_bytes)) == size_bytes


@pytest.mark.parametrize(
    "header",
    [b"", b"\0" * BLOCK_BYTES, b"x" * BLOCK_BYTES, encode_header(NAME, 8**11), b"\x1f\x8b" * 256],
)
def test_what_has_no_octal_size_gives_none(header: bytes) -> None:
    assert decode_size(header) is None


def test_a_header_is_one_block_and_padding_fills_one() -> None:
    assert len(encode_header(NAME, 5)) == BLOCK_BYTES
    assert [padding_bytes(size) for size in (0, 1, 511, 512, 513)] == [0, 511, 1, 0, 511]
