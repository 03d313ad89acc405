"""The one kind of tar header that bundles have: a plain file that nobody owns, made at time 0.

Fields lie where POSIX.1-1988 puts them (ustar). A size from 8 GiB on is a big-endian number whose
first bit is set, as GNU tar, BSD tar and Python write it, because ustar's octal digits end there.
"""

from __future__ import annotations

BLOCK_BYTES = 512
TRAILER = bytes(2 * BLOCK_BYTES)  # two empty blocks end an archive
_OCTAL_DIGITS = 11


def encode_header(name: str, size_bytes: int) -> bytes:
    """The block before a file's bytes; `name` is ASCII and at most 100 bytes long."""
    header = bytearray(BLOCK_BYTES)
    for offset, value in (
        (0, name.encode("ascii")),
        (100, b"0000644"),  # mode
        (108, b"0000000"),  # user
        (116, b"0000000"),  # group
        (124, _encode_size(size_bytes)),
        (136, b"00000000000"),  # time
        (148, b" " * 8),  # the checksum counts as spaces in itself
        (156, b"0"),  # a plain file
        (257, b"ustar"),
        (263, b"00"),
        (329, b"0000000"),  # device numbers
        (337, b"0000000"),
    ):
        header[offset : offset + len(value)] = value
    header[148:156] = b"%06o\x00 " % sum(header)
    return bytes(header)


def decode_size(header: bytes) -> int | None:
    """The size of the file in bytes, None where the header has no octal one."""
    digits = header[124 : 124 + _OCTAL_DIGITS]
    if len(digits) < _OCTAL_DIGITS or not set(digits) <= set(b"01234567"):
        return None
    return int(digits, 8)


def padding_bytes(size_bytes: int) -> int:
    """How many zeros follow a file of this size."""
    return -size_bytes % BLOCK_BYTES


def _encode_size(size_bytes: int) -> bytes:
    if size_bytes < 8**_OCTAL_DIGITS:
        return b"%011o" % size_bytes
    return b"\x80" + size_bytes.to_bytes(_OCTAL_DIGITS, "big")
