"""Reads vectors from Parquet files with the columns of `results.geoparquet`, whoever wrote them.

Needed are uri, artifact_id, space_id and embedding.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.errors import BadInput, SpaceMismatch
from rsq.retrieval import BoundingBox, Payload, StoredRecord, Window
from rsq_agent.results.geoparquet import METADATA_KEY, import_pyarrow
from rsq_agent.results.outline import find_bbox, find_outline, join_cut, to_footprint
from rsq_agent.results.wkb import decode_polygons

_REQUIRED = ("uri", "artifact_id", "space_id", "embedding")
_OPTIONAL = ("window", "geometry", "bbox", "datetime", "tags", "stamp")
_READ_ROWS = 1024


@dataclass(frozen=True)
class VectorFile:
    """A file's vectors; `records` reads as it is asked and can be read once."""

    space_id: str
    dimension: int
    collection: str  # where they came from; empty where the file does not say
    total: int
    records: Iterator[StoredRecord]


def read_geoparquet(path: Path) -> VectorFile:
    """Raises BadInput for a file that is not there, no Parquet file, without the columns needed or
    without rows, SpaceMismatch for one with vectors of several spaces, and EnvironmentFault without
    pyarrow. A geometry that can't be read raises BadInput on the way."""
    arrow, parquet = import_pyarrow()
    try:
        file = parquet.ParquetFile(path, pre_buffer=False)
    except (OSError, ValueError, arrow.ArrowException) as e:
        reason = getattr(e, "strerror", None) or "it is no Parquet file"
        raise BadInput(f"{path} can't be read: {reason}.") from e
    names = file.schema_arrow.names
    if missing := [name for name in _REQUIRED if name not in names]:
        raise BadInput(
            f"{path} has no column {missing[0]!r}; a file to import has {', '.join(_REQUIRED)}."
        )
    with _naming_damage(path, arrow.ArrowException):
        return VectorFile(
            space_id=_find_space(path, file),
            dimension=_find_dimension(path, file),
            collection=_find_collection(file),
            total=file.metadata.num_rows,
            records=_read_records(path, file, arrow.ArrowException),
        )


@contextmanager
def _naming_damage(path: Path, damage: type[Exception]) -> Iterator[None]:
    """Raises BadInput for what pyarrow (`damage`) or Python finds wrong with the file's bytes."""
    try:
        yield
    except (OSError, ValueError, damage) as e:
        raise BadInput(f"{path} is damaged: {e}") from e


def _find_collection(file: Any) -> str:
    try:
        metadata = json.loads((file.schema_arrow.metadata or {}).get(METADATA_KEY, b"{}"))
    except (ValueError, RecursionError):
        return ""
    return str(metadata.get("collection", "")) if isinstance(metadata, dict) else ""


def _find_space(path: Path, file: Any) -> str:
    found: set[str | None] = set()
    for batch in file.iter_batches(columns=["space_id"]):
        found.update(batch.column(0).unique().to_pylist())
    if not found:
        raise BadInput(f"{path} has no rows.")
    if len(found) > 1:
        raise SpaceMismatch(
            f"{path} holds vectors of {len(found)} embedding spaces; import them from files of "
            "their own."
        )
    return found.pop() or ""


def _find_dimension(path: Path, file: Any) -> int:
    kind = file.schema_arrow.field("embedding").type
    if hasattr(kind, "list_size"):
        return int(kind.list_size)
    batch = next(file.iter_batches(batch_size=1, columns=["embedding"]), None)
    first = batch.column(0)[0].as_py() if batch is not None else None
    if not isinstance(first, list) or not first:
        raise BadInput(f"The column 'embedding' of {path} is not of lists of numbers.")
    return len(first)


def _read_records(path: Path, file: Any, damage: type[Exception]) -> Iterator[StoredRecord]:
    names = [name for name in (*_REQUIRED, *_OPTIONAL) if name in file.schema_arrow.names]
    batches = file.iter_batches(batch_size=_READ_ROWS, columns=names)
    while True:
        with _naming_damage(path, damage):
            batch = next(batches, None)
            if batch is None:
                return
            # Numbers go through numpy: as Python objects they would take ten times the memory.
            vectors = batch.column("embedding")
            others = batch.drop_columns(["embedding"]).to_pylist()
        for place, row in enumerate(others):
            values = vectors[place].values
            try:
                yield _to_record(row, np.asarray(() if values is None else values, np.float32))
            except (BadInput, ValueError, TypeError, KeyError) as e:
                raise BadInput(f"The row of {row['uri']!r} in {path} can't be read: {e}") from e


def _to_record(row: Mapping[str, Any], vector: NDArray[np.float32]) -> StoredRecord:
    window, stored, moment = row.get("window"), row.get("bbox"), row.get("datetime")
    rings = decode_polygons(row["geometry"]) if row.get("geometry") else []
    outline = join_cut(rings) if rings else ()
    bbox = None
    if stored and len(rings) < 2:
        bbox = BoundingBox(stored["xmin"], stored["ymin"], stored["xmax"], stored["ymax"])
    elif rings:
        bbox = find_bbox(outline or tuple(corner for ring in rings for corner in ring))
    is_box = bbox is not None and set(outline) == set(find_outline(Payload(bbox=bbox)))
    return StoredRecord(
        uri=row["uri"],
        payload=Payload(
            window=Window(**window) if window else None,
            bbox=bbox,
            datetime=_format_moment(moment) if moment else None,
            tags=tuple(row.get("tags") or ()),
            footprint=() if is_box else to_footprint(outline),
            stamp=row.get("stamp") or "",
        ),
        artifact_id=row["artifact_id"],
        vector=vector,
    )


def _format_moment(moment: object) -> str:
    """RFC 3339; a time without a zone is UTC's."""
    if isinstance(moment, str):
        return moment
    if not isinstance(moment, datetime):
        raise BadInput("The datetime is neither a timestamp nor text.")
    moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    return moment.isoformat().replace("+00:00", "Z")
