"""Lists of images: JSON lines, or Parquet, with one image or tile a row.

    uri       a path, relative to the list's folder, or a file:// address
    datetime  ISO 8601, or a Parquet timestamp; without an offset it is UTC
    bbox      [west, south, east, north] in degrees, or a struct of xmin, ymin, xmax, ymax
    tags      list of strings
    window    {"x", "y", "width", "height"} in pixels: this tile alone

Only uri must be there. Other columns are ignored, empty values too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from rsq.errors import BadSource, EnvironmentFault
from rsq.retrieval import BoundingBox, Window
from rsq_agent.indexing.archive import image_uri
from rsq_agent.indexing.image_entry import ImageEntry, Skipped
from rsq_agent.indexing.local_path import resolve_href
from rsq_agent.indexing.scene_time import parse_time
from rsq_agent.indexing.stac import read_bbox

COLUMNS = ("uri", "datetime", "bbox", "tags", "window")
MAX_LINE_BYTES = 1 << 20
_ROWS_AT_ONCE = 1024
_COVERING = ("xmin", "ymin", "xmax", "ymax")  # GeoParquet's names


def read_json_lines(path: Path) -> Iterator[ImageEntry | Skipped]:
    """Raises BadSource for a file that can't be read; a bad line costs itself."""
    folder = Path(image_uri(path)).parent
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise BadSource(f"{path}, line {number} has over {MAX_LINE_BYTES} bytes.")
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    row = None
                yield _entry(row, folder, f"{path}, line {number}")
    except OSError as e:
        raise BadSource(f"{path} can't be read: {e.strerror}.") from e


def read_parquet(path: Path) -> Iterator[ImageEntry | Skipped]:
    """Raises BadSource for a file that can't be read or has no column uri, EnvironmentFault where
    pyarrow is missing."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as e:
        raise EnvironmentFault(
            "Parquet is read with pyarrow; install it: pip install 'rsq-agent[geo]'."
        ) from e
    folder = Path(image_uri(path)).parent
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            columns = [name for name in COLUMNS if name in file.schema_arrow.names]
            if "uri" not in columns:
                raise BadSource(f"{path} has no column uri.")
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield _entry(row, folder, f"{path}, row {number}")
    except (OSError, ValueError, pyarrow.ArrowException) as e:  # of a name that is no UTF-8, too
        raise BadSource(f"{path} is damaged or no Parquet file.") from e


def _entry(row: Any, folder: Path, where: str) -> ImageEntry | Skipped:
    if not isinstance(row, dict) or not isinstance(row.get("uri"), str):
        return Skipped(where, "BAD_SOURCE", "The row has no uri.")
    path = resolve_href(row["uri"], folder)
    if path is None:
        return Skipped(
            row["uri"], "REMOTE", f"The uri of {where} is not on this machine; fetch it first."
        )
    try:
        return ImageEntry(
            uri=str(path),
            window=_window(row.get("window")),
            datetime=_time(row.get("datetime")),
            bbox=_bbox(row.get("bbox")),
            tags=_tags(row.get("tags")),
        )
    except BadSource as e:
        return Skipped(str(path), e.code, f"{where}: {e.message}")


def _window(value: Any) -> Window | None:
    if value is None:
        return None
    names = ("x", "y", "width", "height")
    if not isinstance(value, Mapping) or not all(type(value.get(name)) is int for name in names):
        raise BadSource("window is not x, y, width and height in pixels.")
    window = Window(*(value[name] for name in names))
    if min(window.x, window.y) < 0 or min(window.width, window.height) < 1:
        raise BadSource("window is empty or outside its image.")
    return window


def _time(value: Any) -> str | None:
    if value is None or value == "":
        return None
    text = value.isoformat() if isinstance(value, datetime) else value
    found = parse_time(text) if isinstance(text, str) else None
    if found is None:
        raise BadSource("datetime is no time such as 2024-05-01T10:30:00Z.")
    return found


def _bbox(value: Any) -> BoundingBox | None:
    if value is None:
        return None
    if isinstance(value, Mapping):
        value = [value.get(name) for name in _COVERING]
    box = read_bbox(value)
    if box is None:
        raise BadSource("bbox is not west, south, east and north in degrees.")
    return box


def _tags(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise BadSource("tags is not a list of strings.")
    return tuple(value)
