"""Finding the images to index, on the machine that asks.

A uri is the image's absolute POSIX path as plain text, without `file://`: it is what `search`
prints, what a shell opens and what a file manager takes, and spaces stay spaces.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from rsq.errors import BadInput

# The formats that `rsq.images` decodes; GeoTIFF comes as .tif.
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif"})


def image_uri(path: Path) -> str:
    """The uri of an image file: absolute, without `..`, links kept as they are named."""
    return os.path.abspath(path)


def find_images(paths: Sequence[Path]) -> Iterator[Path]:
    """The image files among `paths` and below its folders, each absolute path once.

    In the order given, and sorted by name within a folder, files before subfolders. A file that is
    named is taken whatever its suffix or name; below a folder hidden entries and other suffixes are
    skipped. Links are followed, but no folder is entered twice, so links can't make a loop. Raises
    BadInput, before the first image, for a path that isn't there or is neither file nor folder,
    and on the way for a folder that can't be read.
    """
    files = {image_uri(path) for path in paths if _kind(path) == "file"}
    return _find(paths, files)


def _kind(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except OSError as e:
        raise BadInput(f"There is no readable file or folder {str(path)!r}.") from e
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    raise BadInput(f"{str(path)!r} is neither a file nor a folder.")


def _find(paths: Sequence[Path], named: set[str]) -> Iterator[Path]:
    entered: set[tuple[int, int]] = set()
    given: set[str] = set()
    for path in paths:
        uri = image_uri(path)
        if uri not in named:
            # A file that is named comes where it is named, and not again with its folder.
            yield from (found for found in _walk(uri, entered) if str(found) not in named)
        elif uri not in given:
            given.add(uri)
            yield Path(uri)


def _walk(folder: str, entered: set[tuple[int, int]]) -> Iterator[Path]:
    try:
        status = os.stat(folder)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as e:
        raise BadInput(f"The folder {folder!r} can't be read: {e.strerror}.") from e
    here = (status.st_dev, status.st_ino)
    if here in entered:
        return
    entered.add(here)
    visible = [entry for entry in entries if not entry.name.startswith(".")]
    for entry in visible:
        # By os.path, which calls a link to itself absent where the entry would raise.
        if Path(entry.name).suffix.lower() in IMAGE_SUFFIXES and os.path.isfile(entry.path):
            yield Path(entry.path)
    for entry in visible:
        if os.path.isdir(entry.path):
            yield from _walk(entry.path, entered)
