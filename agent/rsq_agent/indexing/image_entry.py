"""What there is to index: an image file with what is known of it beforehand, or why it is left
out."""

from __future__ import annotations

from dataclasses import dataclass

from rsq.retrieval import BoundingBox, Position, Window


@dataclass(frozen=True)
class ImageEntry:
    """A file by its absolute path, which is its uri. `window` means that tile alone."""

    uri: str
    window: Window | None = None
    datetime: str | None = None  # RFC 3339
    bbox: BoundingBox | None = None
    footprint: tuple[Position, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Skipped:
    """What was not indexed. `code` is an error's, or NO_DATA for tiles without data."""

    uri: str
    code: str
    message: str
    tiles: int = 1


NO_DATA = "NO_DATA"
