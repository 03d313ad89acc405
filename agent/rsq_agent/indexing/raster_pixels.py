"""From a raster's values to the 8-bit RGB that a vision tower reads."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rsq.dynamic_range import Limits, scale


def default_bands(colours: Sequence[str]) -> tuple[int, ...]:
    """The bands that show colour, counted from 1: those that the file calls red, green and blue,
    else the first three, else the first. `colours` names each band's interpretation."""
    if {"red", "green", "blue"} <= set(colours):
        return tuple(colours.index(name) + 1 for name in ("red", "green", "blue"))
    usable = [number for number, name in enumerate(colours, 1) if name != "alpha"]
    return tuple(usable[:3]) if len(usable) >= 3 else tuple(usable[:1])


def valid_pixels(
    values: NDArray[Any], nodata: float | None, mask: NDArray[np.uint8] | None
) -> NDArray[np.bool_]:
    """bool [h, w]: where `values` [bands, h, w] hold data. A pixel is empty when each of its bands
    is `nodata`, when any is not finite, or when `mask` [h, w] is 0 there."""
    valid = np.ones(values.shape[1:], np.bool_)
    if nodata is not None and not np.isnan(nodata):
        valid &= (values != nodata).any(axis=0)
    if values.dtype.kind == "f":
        valid &= np.isfinite(values).all(axis=0)
    if mask is not None:
        valid &= mask > 0
    return valid


def to_rgb(
    values: NDArray[Any],
    valid: NDArray[np.bool_],
    limits: Limits | None,
    palette: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """uint8 [h, w, 3] of `values` [bands, h, w], one or three bands; black where not `valid`.

    `limits` spreads deep samples over 0..255; 8-bit samples come without. `palette` uint8 [256, 3]
    gives colours to a single band.
    """
    if palette is not None:
        pixels = palette[values[0]]
    else:
        pixels = values.transpose(1, 2, 0)
        if limits is not None:
            pixels = scale(pixels, valid, limits)
        if pixels.shape[2] == 1:
            pixels = pixels.repeat(3, axis=2)
    rgb = np.ascontiguousarray(pixels, dtype=np.uint8)
    if not valid.all():
        rgb = np.where(valid[..., None], rgb, np.uint8(0))
    return rgb


def encode_tile(rgb: NDArray[np.uint8]) -> bytes:
    """A BMP file. Not compressed: packing and unpacking a PNG costs forty times the processor
    time for 60 % of the bytes (docs/guide/indexing.md)."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, format="BMP")
    return buffer.getvalue()
