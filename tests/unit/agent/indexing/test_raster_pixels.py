"""Bands, empty pixels and 8 bits."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from rsq.images import decode_image
from rsq_agent.indexing.raster_pixels import default_bands, encode_tile, to_rgb, valid_pixels


@pytest.mark.parametrize(
    ("colours", "bands"),
    [
        (["red", "green", "blue"], (1, 2, 3)),
        (["blue", "green", "red", "undefined"], (3, 2, 1)),
        (["gray", "undefined", "undefined", "undefined"], (1, 2, 3)),
        (["gray"], (1,)),
        (["gray", "alpha"], (1,)),
        (["gray", "undefined"], (1,)),
        ([], ()),
    ],
)
def test_the_bands_that_show_colour(colours: list[str], bands: tuple[int, ...]) -> None:
    assert default_bands(colours) == bands


def test_a_pixel_is_empty_when_all_its_bands_are() -> None:
    values = np.array([[[0, 0]], [[0, 7]], [[0, 0]]], np.uint8)
    assert valid_pixels(values, 0.0, None).tolist() == [[False, True]]
    assert valid_pixels(values, None, None).all()


def test_what_is_not_finite_or_masked_is_empty() -> None:
    values = np.array([[[1.0, np.nan, 3.0, np.inf]]], np.float32)
    mask = np.array([[255, 255, 0, 255]], np.uint8)
    assert valid_pixels(values, float("nan"), mask).tolist() == [[True, False, False, False]]


def test_limits_spread_deep_samples_and_empty_pixels_are_black() -> None:
    values = np.array([[[100, 300, 500, 9999]]], np.uint16)
    valid = np.array([[True, True, True, False]])
    rgb = to_rgb(values, valid, (100.0, 500.0))
    assert rgb[0].tolist() == [[0] * 3, [128] * 3, [255] * 3, [0] * 3]


def test_a_palette_gives_colours() -> None:
    palette = np.zeros((256, 3), np.uint8)
    palette[3] = (10, 20, 30)
    rgb = to_rgb(np.array([[[3, 0]]], np.uint8), np.ones((1, 2), np.bool_), None, palette)
    assert rgb.tolist() == [[[10, 20, 30], [0, 0, 0]]]


def test_an_encoded_tile_decodes_to_the_same_pixels() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    data = encode_tile(rgb)
    assert Image.open(io.BytesIO(data)).format == "BMP"
    assert np.array_equal(np.asarray(decode_image(data)), rgb)
