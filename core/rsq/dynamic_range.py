"""Images of more than 8 bits a sample, brought to 8 bits by percentile.

Sensors fill a small part of 16 bits, in units of their own. Clipping at 255, as the reference
processors do, turns such images white, and keeping the high byte turns them black. So the 2nd to
98th percentile of each image is spread over 0..255, with one pair of limits for all bands, which
keeps the colour balance.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from rsq.image_file import load_pixels, open_image

Limits = tuple[float, float]  # the values that become 0 and 255
LOW_PERCENTILE, HIGH_PERCENTILE = 2.0, 98.0
# The limits come from about this many values, of evenly spaced rows: 32 MiB as float64.
MAX_SAMPLES = 1 << 22
_ROWS = 256  # rescaled at a time, so that the float64 copy stays small
_GDAL_NODATA = 42113  # TIFF tag, a number written as text
_GREY_MODES = frozenset({"I", "F", "I;16", "I;16B", "I;16L", "I;16N"})

# Pillow has no mode for 16-bit colour: it keeps the high byte. Decoding once more in the opposite
# byte order keeps the low byte. "N" is the machine's order, which libtiff delivers.
_OPPOSITE = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_COLOUR_RAW_MODES = frozenset(
    f"{bands};16{order}" for bands in ("RGB", "RGBX", "RGBA") for order in _OPPOSITE
)


def is_deep(image: ImageFile) -> bool:
    """Whether an opened, not yet decoded image has more than 8 bits a sample that Pillow can give:
    grey integers and floats, and RGB or RGBA of 16 bits."""
    return image.mode in _GREY_MODES or _is_deep_colour(image)


def decode_deep(image: ImageFile, data: bytes) -> Image.Image:
    """An 8-bit image, mode L, RGB or RGBA, from one that `open_image(data)` gave and for which
    `is_deep` holds.

    Values that are not finite or are GDAL's no-data value become black. They do not count for the
    percentiles, nor do transparent pixels. Alpha keeps its high byte. Raises BadImage when the
    file is truncated or damaged.
    """
    nodata = _nodata(image)
    if not _is_deep_colour(image):
        load_pixels(image)
        grey = np.asarray(image)
        return Image.fromarray(stretch(grey, np.isfinite(grey) & (grey != nodata)))
    low_bytes = open_image(data)
    low_bytes.tile = [tile._replace(args=_swap_bytes(tile.args)) for tile in low_bytes.tile]
    load_pixels(image)
    load_pixels(low_bytes)
    high = np.asarray(image)
    colour = high[..., :3].astype(np.uint16)
    colour <<= 8
    colour |= np.asarray(low_bytes)[..., :3]
    valid = (colour != nodata).any(axis=2)
    if image.mode == "RGB":
        return Image.fromarray(stretch(colour, valid))
    alpha = high[..., 3:]
    scaled = stretch(colour, valid & (alpha[..., 0] > 0))
    return Image.fromarray(np.concatenate([scaled, alpha], axis=2))


def stretch(values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Spreads the 2nd to 98th percentile of the valid pixels over 0..255.

    `values` [h, w] or [h, w, bands] of any real type, `valid` bool [h, w]; the result has the shape
    of `values`. Where the percentiles coincide, minimum and maximum take their place; an image of
    one value, and every pixel that is not valid, becomes 0.
    """
    limits = find_limits(values, valid)
    if limits is None:
        return np.zeros(values.shape, np.uint8)
    return scale(values, valid, limits)


def find_limits(values: NDArray[Any], valid: NDArray[np.bool_]) -> Limits | None:
    """What becomes 0 and 255: the 2nd and 98th percentile of the valid pixels, or, where these
    coincide, minimum and maximum. None for an image of one value or none. Shapes as `stretch`."""
    step = max(1, values.size // MAX_SAMPLES)
    samples = values[::step][valid[::step]].astype(np.float64)
    if not samples.size:  # what is valid may lie between the rows taken
        samples = values[valid].astype(np.float64)
    if not samples.size:
        return None
    low, high = np.percentile(samples, (LOW_PERCENTILE, HIGH_PERCENTILE))
    if low == high:
        low, high = samples.min(), samples.max()
    return (float(low), float(high)) if low < high else None


def scale(values: NDArray[Any], valid: NDArray[np.bool_], limits: Limits) -> NDArray[np.uint8]:
    """Spreads `limits` over 0..255, clips what is beyond, and makes 0 of what is not valid. Shapes
    as `stretch`."""
    low, high = limits
    scaled = np.zeros(values.shape, np.uint8)
    for top in range(0, values.shape[0], _ROWS):
        rows = slice(top, top + _ROWS)
        usable = valid[rows].reshape(valid[rows].shape + (1,) * (values.ndim - 2))
        block = np.where(usable, values[rows], low).astype(np.float64)
        scaled[rows] = np.rint(np.clip((block - low) / (high - low), 0, 1) * 255)
    return scaled


def _is_deep_colour(image: ImageFile) -> bool:
    return bool(image.tile) and all(
        _raw_mode(tile.args) in _COLOUR_RAW_MODES for tile in image.tile
    )


def _raw_mode(args: tuple[Any, ...] | str | None) -> Any:
    # PNG gives the raw mode itself, TIFF a tuple that starts with it.
    return args[0] if isinstance(args, tuple) and args else args


def _swap_bytes(args: tuple[Any, ...] | str | None) -> tuple[Any, ...] | str:
    raw_mode = str(_raw_mode(args))
    swapped = raw_mode[:-1] + _OPPOSITE[raw_mode[-1]]
    return (swapped, *args[1:]) if isinstance(args, tuple) else swapped


def _nodata(image: ImageFile) -> float:
    """The value GDAL declares as no data; NaN, which equals nothing, where there is none."""
    if not isinstance(image, TiffImageFile):
        return float("nan")
    try:
        return float(image.tag_v2.get(_GDAL_NODATA, "nan"))
    except (TypeError, ValueError):
        return float("nan")
