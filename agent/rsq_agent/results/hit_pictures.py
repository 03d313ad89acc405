"""The pixels of hits, cut from files on this machine."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from rsq.errors import BadImage, EnvironmentFault, RsqError
from rsq.image_file import MAX_PIXELS
from rsq.images import decode_image
from rsq.retrieval import SearchHit, Window
from rsq_agent.indexing.index_plan import bands_of_stamp
from rsq_agent.indexing.raster_pixels import to_rgb
from rsq_agent.indexing.rasters import find_scene_limits, open_raster, read_window

_JPEG_QUALITY = 82
_TIFF_SUFFIXES = {".tif", ".tiff"}
_ANY_SIZE = 1 << 62  # of a raster: a window is read alone


@dataclass(frozen=True)
class HitPicture:
    """`image` is None where it can't be shown, and `reason` says why in one sentence."""

    image: Image.Image | None
    reason: str = ""


def cut_pictures(hits: Sequence[SearchHit], *, edge: int) -> list[HitPicture]:
    """One picture a hit, scaled down to at most `edge` x `edge` pixels. A file that several hits
    share is decoded once, and one file is in memory at a time; of GeoTIFFs only the windows are,
    in the bands that they were indexed with."""
    places: dict[tuple[str, tuple[int, ...]], list[int]] = defaultdict(list)
    for place, hit in enumerate(hits):
        places[hit.uri, bands_of_stamp(hit.payload.stamp)].append(place)
    pictures = [HitPicture(None)] * len(hits)
    for (uri, bands), group in places.items():
        windows = [hits[place].payload.window for place in group]
        for place, picture in zip(group, _cut_windows(uri, windows, bands, edge), strict=True):
            pictures[place] = picture
    return pictures


def encode_jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=_JPEG_QUALITY, optimize=True)
    return buffer.getvalue()


def _cut_windows(
    uri: str, windows: Sequence[Window | None], bands: tuple[int, ...], edge: int
) -> list[HitPicture]:
    pictures = []
    try:
        cut = _open(uri, windows, bands)
    except RsqError as e:
        return [HitPicture(None, e.message)] * len(windows)
    for window in windows:
        try:
            tile = cut(window)
        except BadImage as e:
            pictures.append(HitPicture(None, e.message))
            continue
        tile.thumbnail((edge, edge), Image.Resampling.LANCZOS)
        pictures.append(HitPicture(tile))
    return pictures


def _open(
    uri: str, windows: Sequence[Window | None], bands: tuple[int, ...]
) -> Callable[[Window | None], Image.Image]:
    """What cuts a window, or the whole for None, out of the file."""
    path = _find(uri)
    if path.suffix.lower() in _TIFF_SUFFIXES and all(windows):
        try:
            return _open_raster(path, bands)
        except EnvironmentFault:  # no rasterio here: a scene that is small enough goes on below
            pass
    try:
        whole = decode_image(path.read_bytes())
    except OSError as e:
        raise BadImage(f"The file can't be read: {e.strerror or e}.") from e
    return lambda window: whole.crop(_box(window, whole.width, whole.height))


def _open_raster(path: Path, bands: tuple[int, ...]) -> Callable[[Window | None], Image.Image]:
    raster = open_raster(path, bands=bands, max_pixels=_ANY_SIZE)
    limits = find_scene_limits(raster) if raster.is_deep else None

    def cut(window: Window | None) -> Image.Image:
        left, top, right, bottom = _box(window, raster.width, raster.height)
        inside = Window(left, top, right - left, bottom - top)
        values, valid = read_window(raster, inside)
        return Image.fromarray(to_rgb(values, valid, limits, raster.palette))

    return cut


def _box(window: Window | None, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom; a tile at the edge may have been filled up beyond it. Raises
    BadImage for a window outside the file or larger than an image may be."""
    if window is None:
        return 0, 0, width, height
    if window.x >= width or window.y >= height:
        raise BadImage(f"The file now has {width} x {height} pixels, without this window.")
    right, bottom = min(window.x + window.width, width), min(window.y + window.height, height)
    if (right - window.x) * (bottom - window.y) > MAX_PIXELS:
        raise BadImage(f"The window has over {MAX_PIXELS} pixels.")
    return window.x, window.y, right, bottom


def _find(uri: str) -> Path:
    path = Path(uri)
    if not path.is_absolute():
        raise BadImage("Its name is not a path on this machine.")
    if not path.exists():
        raise BadImage("There is no such file on this machine.")
    return path
