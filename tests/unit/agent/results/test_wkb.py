from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsq.errors import BadInput
from rsq_agent.results.wkb import decode_polygons, encode_polygons

RING = ((0.0, 0.0), (2.0, 0.0), (2.0, 1.0), (0.0, 0.0))


def test_the_bytes_are_those_of_the_standard() -> None:
    data = encode_polygons([RING])
    assert data[:13].hex() == "01030000000100000004000000"
    assert struct.unpack("<8d", data[13:]) == (0, 0, 2, 0, 2, 1, 0, 0)
    assert encode_polygons([RING, RING])[:9].hex() == "010600000002000000"


@pytest.mark.parametrize("count", [1, 2, 5])
def test_rings_come_back(count: int) -> None:
    assert decode_polygons(encode_polygons([RING] * count)) == [RING] * count


def test_big_endian_and_holes_are_read() -> None:
    hole = struct.pack(">I8d", 4, 0.5, 0.1, 1, 0.1, 1, 0.2, 0.5, 0.1)
    outer = struct.pack(">I8d", 4, *(value for corner in RING for value in corner))
    assert decode_polygons(struct.pack(">BII", 0, 3, 2) + outer + hole) == [RING]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cut short"),
        (encode_polygons([RING])[:-1], "cut short"),
        (encode_polygons([RING]) + b"\0", "after its end"),
        (b"\x05" + encode_polygons([RING])[1:], "no well-known binary"),
        (struct.pack("<BIdd", 1, 1, 0, 0), "neither a Polygon"),
        (struct.pack("<BIII", 1, 3, 1, 0xFFFFFFFF), "corners"),
    ],
)
def test_other_bytes_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        decode_polygons(data)


@given(st.binary(max_size=80))
def test_any_bytes_end_in_rings_or_a_refusal(data: bytes) -> None:
    try:
        decode_polygons(b"\x01\x06\x00\x00\x00" + data)
    except BadInput:
        pass
