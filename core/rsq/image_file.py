"""Encoded image files, opened within bounds.

The format is told from the first bytes and its decoder called directly: Pillow's own `open` tries
every plugin, warns instead of refusing when an image is large, and can only be bounded through a
global. Nothing here reads or writes global state, so it is safe to call from several threads.
"""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from rsq.errors import BadImage, Exhausted

# 89 megapixels, 341 MiB in memory at Pillow's four bytes a pixel. Here Pillow's decoders begin to
# warn, so a larger bound would need global state to stay silent.
MAX_PIXELS = (256 << 20) // 3

_DECODERS: dict[str, Callable[[io.BytesIO], ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "TIFF": TiffImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
}
_PREFIXES: dict[bytes, str] = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF
    b"MM\0+": "TIFF",
    b"BM": "BMP",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
}
_PLANAR_CONFIGURATION, _BITS_PER_SAMPLE = 284, 258  # TIFF tags
_SEPARATE_PLANES = 2


def open_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> ImageFile:
    """The first frame of an image file, its header read and its pixels not yet decoded.

    Raises BadImage when the file is empty, of a format other than JPEG, PNG, WebP, TIFF, BMP or
    GIF, has a damaged header, or has more than `max_pixels` (at most MAX_PIXELS) pixels.
    """
    name = _format_name(data)
    limit = min(max_pixels, MAX_PIXELS)
    try:
        image = _DECODERS[name](io.BytesIO(data))
    except MemoryError as e:
        raise Exhausted(f"Not enough memory to read the {name} image's header.") from e
    except Image.DecompressionBombError as e:
        raise BadImage(f"The {name} image has more than {limit} pixels.") from e
    except Exception as e:
        raise BadImage(f"The {name} image has a damaged or unsupported header.") from e
    width, height = image.size
    if width < 1 or height < 1:
        raise BadImage(f"The {name} image has no pixels ({width} x {height}).")
    if width * height > limit:
        raise BadImage(
            f"The {name} image has {width} x {height} pixels, over the limit of {limit}."
        )
    if isinstance(image, TiffImageFile):
        _require_readable_planes(image)
    return image


def load_pixels(image: ImageFile) -> None:
    """Decodes the pixels in place.

    Raises BadImage when the file is truncated or damaged, Exhausted when memory does not suffice.
    """
    name = image.format
    try:
        image.load()
    except MemoryError as e:
        raise Exhausted(f"Not enough memory to decode the {name} image.") from e
    except Exception as e:
        raise BadImage(f"The {name} image is truncated or damaged.") from e


def _format_name(data: bytes) -> str:
    if not data:
        raise BadImage("The image is empty: 0 bytes.")
    for prefix, name in _PREFIXES.items():
        if data.startswith(prefix):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    *others, last = _DECODERS
    raise BadImage(
        f"The image's {len(data)} bytes are none of the known formats: "
        f"{', '.join(others)} and {last}."
    )


def _require_readable_planes(image: TiffImageFile) -> None:
    # Pillow reads uncompressed separate planes as 8-bit samples whatever their depth, without an
    # error: the result is noise.
    if (
        image.tag_v2.get(_PLANAR_CONFIGURATION) == _SEPARATE_PLANES
        and any(tile.codec_name == "raw" for tile in image.tile)
        and set(image.tag_v2.get(_BITS_PER_SAMPLE, (1,))) - {1, 8}
    ):
        raise BadImage(
            "The TIFF image stores deep samples in separate planes; store it pixel-interleaved."
        )
