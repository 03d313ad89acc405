"""Image files below a data folder: found by name, read within bounds."""

from __future__ import annotations

from pathlib import Path

from rsq.errors import BadInput, BadSource

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"})
MAX_SAMPLES = 100_000
MAX_IMAGE_BYTES = 256 << 20


def find_image(root: Path, name: str, where: str, *, folder: Path | None = None) -> Path:
    """The file `name`, relative to `folder` (default `root`), below `root`, which is resolved.

    Raises BadSource, beginning with `where`, for one that is not there or outside `root`.
    """
    try:
        path = ((folder or root) / name).resolve()
        there = path.is_file()
    except (ValueError, OSError) as e:  # a null byte, a loop of links, a name too long
        raise BadSource(f"{where} names an image that can't be a path.") from e
    if not path.is_relative_to(root):
        raise BadSource(f"{where} names an image outside the folder: {name[:120]!r}.")
    if not there:
        raise BadSource(f"{where} names an image that isn't there: {name[:120]!r}.")
    return path


def read_image(path: Path) -> bytes:
    """The file's bytes. Raises BadSource for more than MAX_IMAGE_BYTES, or when it can't be
    read."""
    try:
        if path.stat().st_size > MAX_IMAGE_BYTES:
            raise BadSource(f"{path} has over {MAX_IMAGE_BYTES} bytes.")
        return path.read_bytes()
    except OSError as e:
        raise BadSource(f"{path} can't be read: {e.strerror}.") from e


def require_count(count: int, where: Path) -> None:
    """Raises BadInput for more than MAX_SAMPLES images."""
    if count > MAX_SAMPLES:
        raise BadInput(f"{where} holds more than {MAX_SAMPLES} images.")
