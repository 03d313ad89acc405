"""What a TIFF's first directory tells without a GeoTIFF library."""

from __future__ import annotations

from pathlib import Path

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from rsq.image_file import MAX_PIXELS

TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
_BIG_TIFF = 43
_WIDTH, _HEIGHT, _SAMPLES = 256, 257, 277
_PILLOW_SAMPLES = (1, 3, 4)
# ModelPixelScale, ModelTiepoint, ModelTransformation and GeoKeyDirectory.
_GEOREFERENCES = (33550, 33922, 34264, 34735)


def is_raster(path: Path) -> bool:
    """Whether a TIFF is more than a picture: georeferenced, of other bands than grey or colour, or
    of more pixels than a picture may have. A damaged file is none, since no reader takes it."""
    try:
        with path.open("rb") as file:
            header = file.read(8)
            if len(header) == 8 and _BIG_TIFF in header[2:4]:
                header += file.read(8)
            tags = ImageFileDirectory_v2(header)
            file.seek(tags.next)
            tags.load(file)
        return (
            any(tag in tags for tag in _GEOREFERENCES)
            or tags.get(_SAMPLES, 1) not in _PILLOW_SAMPLES
            or tags[_WIDTH] * tags[_HEIGHT] > MAX_PIXELS
        )
    except Exception:  # noqa: BLE001 - Pillow raises what it likes for a damaged header
        return False
