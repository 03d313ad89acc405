"""Images of more than 8 bits a sample keep their contrast."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from rsq.dynamic_range import MAX_SAMPLES, stretch
from rsq.errors import BadImage
from rsq.images import decode_image

NODATA_TAG = 42113
# Reflectance as Sentinel-2 stores it: most of the scene between 300 and 3,000 of 65,535.
SCENE = np.linspace(300, 3000, 40 * 50).reshape(40, 50)


def encode(values: NDArray[Any], file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, file_format, **options)
    return file.getvalue()


def encode_colour_png(values: NDArray[np.uint16]) -> bytes:
    """A 16-bit RGB or RGBA PNG from [h, w, 3 or 4]; Pillow writes none."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    height, width, bands = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[bands], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def encode_colour_tiff(values: NDArray[np.uint16], order: str) -> bytes:
    """An uncompressed 16-bit RGB TIFF from [h, w, 3] in byte order "<" or ">"."""
    height, width, bands = values.shape
    pixels = values.astype(f"{order}u2").tobytes()
    bits_at, pixels_at = 8 + 2 + 10 * 12 + 4, 8 + 2 + 10 * 12 + 4 + 2 * bands
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, bands, bits_at),
        (259, 4, 1, 1),
        (262, 4, 1, 2),
        (273, 4, 1, pixels_at),
        (277, 4, 1, bands),
        (278, 4, 1, height),
        (279, 4, 1, len(pixels)),
        (284, 4, 1, 1),
    ]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    entries = b"".join(struct.pack(f"{order}HHII", *tag) for tag in tags)
    return head + entries + struct.pack(f"{order}I{bands}H", 0, *[16] * bands) + pixels


def assert_same_picture(image: Image.Image, scene: NDArray[Any]) -> None:
    """The image spans 0..255 and is the scene up to scale, rounding and the clipped 2 % ends."""
    grey = np.asarray(image)[..., 0]
    low, high = np.percentile(scene, (2, 98))
    expected = np.clip((scene - low) / (high - low), 0, 1) * 255
    assert (grey.min(), grey.max()) == (0, 255)
    assert np.abs(grey - expected).max() <= 0.51


@pytest.mark.parametrize(
    ("dtype", "file_format"),
    [("<u2", "PNG"), ("<u2", "TIFF"), (">u2", "TIFF"), ("<i4", "TIFF"), ("<f4", "TIFF")],
)
def test_deep_grey_is_scaled_not_clipped(dtype: str, file_format: str) -> None:
    scene = SCENE.astype(dtype)
    image = decode_image(encode(scene, file_format))
    assert image.mode == "RGB"
    assert_same_picture(image, scene)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_deep_grey_is_scaled(compression: str) -> None:
    scene = SCENE.astype(np.uint16)
    assert_same_picture(decode_image(encode(scene, "TIFF", compression=compression)), scene)


@pytest.mark.parametrize("kind", ["png", "tiff <", "tiff >"])
def test_deep_colour_keeps_its_low_bytes(kind: str) -> None:
    grey = SCENE.astype(np.uint16)
    scene = np.stack([grey] * 3, axis=2)
    data = encode_colour_png(scene) if kind == "png" else encode_colour_tiff(scene, kind[-1])
    image = decode_image(data)
    assert_same_picture(image, grey)
    assert len(np.unique(np.asarray(image))) == 256  # the high byte alone has 11 levels


def test_bands_share_their_limits_so_that_hues_stay() -> None:
    grey = SCENE.astype(np.uint16)
    red_scene = np.stack([grey * 3, grey, grey], axis=2)
    image = np.asarray(decode_image(encode_colour_png(red_scene))).astype(float)
    assert image[..., 0].mean() > 2 * image[..., 1].mean()


def test_transparent_deep_pixels_are_white_and_do_not_count() -> None:
    grey = SCENE.astype(np.uint16)
    scene = np.stack([grey, grey, grey, np.full_like(grey, 65535)], axis=2)
    scene[:10] = (65535, 65535, 65535, 0)
    image = decode_image(encode_colour_png(scene))
    assert (np.asarray(image)[:10] == 255).all()
    assert_same_picture(image.crop((0, 10, 50, 40)), grey[10:])


@pytest.mark.parametrize("nodata", [-32768, 30000])
def test_gdal_no_data_is_black_and_does_not_count(nodata: int) -> None:
    scene = SCENE.astype(np.int32)
    scene[:8] = nodata
    image = decode_image(encode(scene, "TIFF", tiffinfo={NODATA_TAG: str(nodata)}))
    assert not np.asarray(image)[:8].any()
    assert_same_picture(image.crop((0, 8, 50, 40)), scene[8:])


def test_no_data_that_is_no_number_is_ignored() -> None:
    scene = SCENE.astype(np.int32)
    assert_same_picture(decode_image(encode(scene, "TIFF", tiffinfo={NODATA_TAG: "none"})), scene)


def test_values_that_are_not_finite_are_black_and_do_not_count() -> None:
    scene = SCENE.astype(np.float32)
    scene[:6] = np.nan
    scene[6:8, :25], scene[6:8, 25:] = np.inf, -np.inf
    image = decode_image(encode(scene, "TIFF"))
    assert not np.asarray(image)[:8].any()
    assert_same_picture(image.crop((0, 8, 50, 40)), scene[8:])


@pytest.mark.parametrize("make", [encode_colour_png, lambda scene: encode_colour_tiff(scene, "<")])
def test_truncated_deep_colour_is_refused(make: Any) -> None:
    data = make(np.random.default_rng(0).integers(0, 65536, (20, 20, 3), np.uint16))
    with pytest.raises(BadImage, match="truncated or damaged"):
        decode_image(data[: len(data) // 2])


def test_one_value_gives_black_and_rare_values_still_show() -> None:
    flat = np.full((20, 20), 700, np.uint16)
    everywhere = np.ones(flat.shape, bool)
    assert not stretch(flat, everywhere).any()
    flat[3, 4] = 900
    assert stretch(flat, everywhere)[3, 4] == 255


def test_nothing_valid_gives_black() -> None:
    assert not stretch(SCENE, np.zeros(SCENE.shape, bool)).any()


def test_large_image_is_scaled_alike_in_all_its_rows() -> None:
    column = np.linspace(0, 65535, 1000)
    scaled = stretch(np.repeat(column[:, None], 3, axis=1), np.ones((1000, 3), bool))
    assert (np.diff(scaled[:, 0].astype(int)) >= 0).all()
    assert len(np.unique(scaled)) == 256


def test_large_image_counts_rows_between_the_sampled_ones_where_only_they_are_valid() -> None:
    values = np.tile(np.arange(3000, dtype=np.uint16), (4000, 1))
    assert values.size >= 2 * MAX_SAMPLES
    valid = np.zeros(values.shape, bool)
    valid[1] = True
    scaled = stretch(values, valid)
    assert (scaled[1].min(), scaled[1].max()) == (0, 255)
    assert not scaled[0].any()
