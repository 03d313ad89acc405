"""What is refused, when, and in which words."""

from __future__ import annotations

import io
import re
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.ImageFile import ImageFile

from rsq.errors import BadImage
from rsq.image_file import MAX_PIXELS, open_image
from rsq.images import decode_image

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")


def encode(file_format: str, **options: Any) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (40, 53, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, file_format, **options)
    return file.getvalue()


FILES = {name: encode(name) for name in FORMATS}
FILES["TIFF deflate"] = encode("TIFF", compression="tiff_adobe_deflate")


def png_header(width: int, height: int) -> bytes:
    """A PNG of that many pixels, with the data of none."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def refuse_to_decode(image: ImageFile) -> None:
    pytest.fail("pixels were decoded")


@pytest.mark.parametrize("name", FILES)
def test_every_listed_format_opens(name: str) -> None:
    assert open_image(FILES[name]).size == (53, 40)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "The image is empty: 0 bytes."),
        (b"not an image", "none of the known formats: JPEG, PNG, WebP, TIFF, BMP and GIF."),
        (b"P6 2 2 255 abcdefghijkl", "none of the known formats"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "none of the known formats"),
        (b"\x89PNG\r\n\x1a\n", "The PNG image has a damaged or unsupported header."),
        (b"\xff\xd8\xff", "The JPEG image has a damaged or unsupported header."),
        (b"II*\0\xff\xff\xff\xff", "The TIFF image has a damaged or unsupported header."),
        (b"RIFF\x04\0\0\0WEBP", "The WebP image has a damaged or unsupported header."),
        (b"GIF89a", "The GIF image has a damaged or unsupported header."),
        (b"BM", "The BMP image has a damaged or unsupported header."),
    ],
)
def test_refusal_is_one_clear_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(BadImage, match=re.escape(sentence)) as caught:
        decode_image(data)
    assert "\n" not in str(caught.value)


def test_formats_that_pillow_knows_but_rsq_does_not_list_are_refused() -> None:
    for name in ("PPM", "ICNS", "JPEG2000", "TGA", "PCX"):
        with pytest.raises(BadImage, match="none of the known formats"):
            decode_image(encode(name))


@pytest.mark.parametrize("name", FILES)
def test_truncated_file_is_refused(name: str) -> None:
    for share in (0.3, 0.6, 0.9):
        data = FILES[name][: int(len(FILES[name]) * share)]
        with pytest.raises(BadImage, match=r"truncated or damaged|damaged or unsupported header"):
            decode_image(data)


def test_pixel_bound_is_inclusive() -> None:
    assert decode_image(FILES["PNG"], max_pixels=53 * 40).size == (53, 40)
    with pytest.raises(BadImage, match="53 x 40 pixels, over the limit of 2119"):
        decode_image(FILES["PNG"], max_pixels=53 * 40 - 1)


@pytest.mark.parametrize("size", [(30_000, 30_000), (10_000, 9_000), (2**31 - 1, 2**31 - 1)])
def test_huge_image_is_refused_before_decoding(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "load", refuse_to_decode)
    with pytest.raises(BadImage, match=f"{size[0]} x {size[1]} pixels, over the limit"):
        decode_image(png_header(*size))


def test_bound_can_not_be_raised_above_the_maximum() -> None:
    with pytest.raises(BadImage, match=f"over the limit of {MAX_PIXELS}"):
        open_image(png_header(10_000, 9_000), max_pixels=10**12)


def test_image_just_under_the_bound_opens_without_a_warning() -> None:
    assert open_image(png_header(9_459, 9_459)).size == (9_459, 9_459)


def test_image_without_pixels_is_refused() -> None:
    with pytest.raises(BadImage):
        decode_image(png_header(0, 5))


def test_deep_samples_in_separate_planes_are_refused_instead_of_read_as_noise() -> None:
    ramp = np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000
    file = io.BytesIO()
    Image.fromarray(ramp).save(file, "TIFF", tiffinfo={284: 2})
    with pytest.raises(BadImage, match="deep samples in separate planes"):
        decode_image(file.getvalue())


def decode_or_refuse(data: bytes) -> None:
    try:
        image = decode_image(data, max_pixels=1_000_000)
    except BadImage:
        return
    assert image.mode == "RGB"


@given(st.binary(max_size=300), st.sampled_from([b"", *(data[:40] for data in FILES.values())]))
def test_arbitrary_bytes_give_an_image_or_a_bad_image(tail: bytes, prefix: bytes) -> None:
    decode_or_refuse(prefix + tail)


@given(st.sampled_from(list(FILES)), st.data())
def test_damaged_file_gives_an_image_or_a_bad_image(name: str, data: st.DataObject) -> None:
    damaged = bytearray(FILES[name])
    for _ in range(data.draw(st.integers(1, 8))):
        where = data.draw(st.integers(0, min(len(damaged) - 1, 400)) | st.integers(-200, -1))
        damaged[where] = data.draw(st.integers(0, 255))
    decode_or_refuse(bytes(damaged))
