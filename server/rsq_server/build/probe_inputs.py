"""The inputs of the golden probe: generated patterns and texts of our own, never anyone's data.

Between them they walk every path of decoding (formats, colour modes, sixteen bits, odd sizes) and
of tokenizing (case, punctuation, digits, scripts, truncation). The same bytes come out each time on
one machine, so that publishing again gives the same artifact ids.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SEED = 20_260_101
_JPEG_QUALITY = 85

PROBE_TEXTS: tuple[str, ...] = (
    "a satellite image of a port with large cargo ships",
    "An Airport With TWO Runways, and Many White Planes!",
    "river",
    "12 storage tanks (30 m wide) & 3.5 km of railway; see no. 7-B",
    "déserts, forêts et côtes vues d'en haut à São Paulo",
    "海边的港口有很多货船",
    "Снежные горы и город на реке",
    "dense residential area with green trees, gray roofs, a winding road and parking lots; " * 12,
)


def probe_images() -> tuple[bytes, ...]:
    """Eight encoded images, most of odd sizes: JPEG in RGB, grey and CMYK, PNG in RGB, RGBA,
    palette and sixteen-bit grey, and WebP. The PNG in RGB is noise: the others are too smooth
    to tell one resampling filter from another."""
    scenes = [_pattern(index, width, height) for index, (width, height) in enumerate(_SIZES)]
    colour = [Image.fromarray(pixels) for pixels in scenes]
    deep = scenes[7].astype(np.uint16).sum(axis=-1, dtype=np.uint16) * 24 + 1500
    transparent = colour[3].convert("RGBA")
    transparent.putalpha(Image.fromarray(_ramp(*_SIZES[3])))
    return (
        _encode(colour[0], "JPEG", quality=_JPEG_QUALITY),
        _encode(Image.fromarray(_noise()), "PNG"),
        _encode(colour[2], "WEBP", lossless=True),
        _encode(transparent, "PNG"),
        _encode(colour[4].quantize(32), "PNG"),
        _encode(colour[5].convert("L"), "JPEG", quality=_JPEG_QUALITY),
        _encode(colour[6].convert("CMYK"), "JPEG", quality=_JPEG_QUALITY),
        _encode(Image.fromarray(deep), "PNG"),
    )


# Width and height, none square or even throughout, two wide and two tall.
_SIZES = ((121, 97), (64, 81), (75, 75), (97, 61), (110, 83), (59, 103), (90, 67), (63, 62))

# Ground and objects, in pairs whose channels differ, so that exchanged channels change the image.
_COLOURS = np.array(
    [
        [(24, 60, 140), (205, 190, 160)],  # water and quays
        [(50, 110, 45), (170, 60, 40)],  # forest and roofs
        [(205, 165, 95), (60, 90, 60)],  # desert and oases
        [(150, 120, 60), (60, 160, 60)],  # fields
        [(235, 240, 250), (60, 60, 110)],  # snow
        [(110, 110, 115), (240, 240, 235)],  # runways
        [(20, 130, 140), (230, 120, 40)],  # shallows and boats
        [(90, 80, 70), (200, 200, 90)],  # yards
    ],
    np.float64,
)


def _pattern(index: int, width: int, height: int) -> NDArray[np.uint8]:
    """uint8 [height, width, 3]: an uneven ground with rectangles, a stripe and a disc on it."""
    random = np.random.default_rng([_SEED, index])
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    ground, thing = _COLOURS[index]
    waves = sum(
        np.sin(2 * np.pi * (random.uniform(1, 5) * x + random.uniform(1, 5) * y + random.random()))
        for _ in range(3)
    )
    pixels = ground + 14 * np.asarray(waves)[..., None]
    cover = np.abs(random.uniform(-1, 1) * x + y - random.uniform(0.2, 0.6)) < 0.04
    for _ in range(4 + index):
        left, top = random.uniform(0, 0.85, 2)
        wide, high = random.uniform(0.05, 0.22, 2)
        cover |= (x > left) & (x < left + wide) & (y > top) & (y < top + high)
    centre_x, centre_y = random.uniform(0.2, 0.6, 2)
    disc = (x - centre_x) ** 2 + (y - centre_y) ** 2 < 0.02
    pixels[cover] = thing
    pixels[disc] = thing[::-1]
    return np.asarray(np.clip(pixels, 0, 255), np.uint8)


def _noise() -> NDArray[np.uint8]:
    """uint8 [29, 33, 3]: so small that every model enlarges it, and the filter makes its pixels."""
    return np.random.default_rng([_SEED, 8]).integers(0, 256, (29, 33, 3), np.uint8)


def _ramp(width: int, height: int) -> NDArray[np.uint8]:
    return np.tile(np.linspace(40, 255, width).astype(np.uint8), (height, 1))


def _encode(image: Image.Image, form: str, **options: int | bool) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()
