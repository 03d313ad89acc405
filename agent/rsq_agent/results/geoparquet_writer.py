"""Writes a collection as GeoParquet, a row group at a time; the columns are those of
`rsq_agent.results.geoparquet`."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from rsq.output_file import write_output
from rsq.retrieval import BoundingBox, CollectionExport, StoredRecord
from rsq_agent.results.geoparquet import METADATA_KEY, import_pyarrow
from rsq_agent.results.outline import Ring, cut_outline, find_outline
from rsq_agent.results.wkb import encode_polygons

MAX_ROW_GROUP_BYTES = 16 << 20  # of embeddings; a group is in memory at once
_GEO = {
    "version": "1.1.0",
    "primary_column": "geometry",
    "columns": {
        "geometry": {
            "encoding": "WKB",
            "geometry_types": ["Polygon", "MultiPolygon"],
            "orientation": "counterclockwise",
            "edges": "planar",
            "covering": {
                "bbox": {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}
            },
        }
    },
}


def write_geoparquet(path: Path, export: CollectionExport, *, collection: str) -> int:
    """Replaces `path` by the records of `export`, a row group at a time; returns how many.

    Raises EnvironmentFault without pyarrow, and as `write_output` does; then nothing is left.
    """
    arrow, parquet = import_pyarrow()
    schema = _make_schema(arrow, export, collection)
    rows = max(1, MAX_ROW_GROUP_BYTES // (4 * export.dimension))
    written = 0

    def pieces() -> Iterator[bytes]:
        nonlocal written
        sink = _Sink()
        with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
            while group := list(islice(export.records, rows)):
                writer.write_table(_make_table(arrow, schema, group, export.space_id))
                written += len(group)
                yield sink.take()
        yield sink.take()

    write_output(path, pieces())
    return written


def _make_schema(arrow: Any, export: CollectionExport, collection: str) -> Any:
    sides = [(side, arrow.float64()) for side in ("xmin", "ymin", "xmax", "ymax")]
    window = [(name, arrow.uint32()) for name in ("x", "y", "width", "height")]
    origin = {
        "schema": 1,
        "space_id": export.space_id,
        "dimension": export.dimension,
        "collection": collection,
    }
    return arrow.schema(
        [
            ("uri", arrow.string()),
            ("window", arrow.struct(window)),
            ("geometry", arrow.binary()),
            ("bbox", arrow.struct(sides)),
            ("datetime", arrow.timestamp("us", tz="UTC")),
            ("tags", arrow.list_(arrow.string())),
            ("stamp", arrow.string()),
            ("artifact_id", arrow.string()),
            ("space_id", arrow.string()),
            ("embedding", arrow.list_(arrow.float32(), export.dimension)),
        ],
        metadata={b"geo": json.dumps(_GEO).encode(), METADATA_KEY: json.dumps(origin).encode()},
    )


def _make_table(arrow: Any, schema: Any, records: Sequence[StoredRecord], space_id: str) -> Any:
    rows = [_to_row(record) for record in records]
    columns = []
    for field in schema:
        if field.name == "space_id":
            column = arrow.array([space_id] * len(rows), field.type)
        elif field.name == "embedding":
            values = np.concatenate([record.vector for record in records])
            column = arrow.FixedSizeListArray.from_arrays(arrow.array(values), type=field.type)
        else:
            column = arrow.array([row[field.name] for row in rows], field.type)
        columns.append(column)
    return arrow.Table.from_arrays(columns, schema=schema)


def _to_row(record: StoredRecord) -> dict[str, Any]:
    payload = record.payload
    rings = cut_outline(find_outline(payload))
    return {
        "uri": record.uri,
        "window": asdict(payload.window) if payload.window else None,
        "geometry": encode_polygons(rings) if rings else None,
        "bbox": _cover(rings, payload.bbox) if rings else None,
        "datetime": _to_moment(payload.datetime) if payload.datetime else None,
        "tags": list(payload.tags),
        "stamp": payload.stamp,
        "artifact_id": record.artifact_id,
    }


def _cover(rings: Sequence[Ring], bbox: BoundingBox | None) -> dict[str, float]:
    """Planar, so a geometry on both sides of the antimeridian spans the globe. A bounding box may
    be wider than its footprint, whose edges are curves."""
    xs, ys = [x for ring in rings for x, _ in ring], [y for ring in rings for _, y in ring]
    if bbox is not None and bbox.west <= bbox.east:
        xs += [bbox.west, bbox.east]
        ys += [bbox.south, bbox.north]
    return {"xmin": min(xs), "ymin": min(ys), "xmax": max(xs), "ymax": max(ys)}


def _to_moment(text: str) -> datetime:
    return datetime.fromisoformat(text.upper()).astimezone(UTC)


class _Sink(io.RawIOBase):
    """Keeps what was written until it is taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        self._written += len(self._pieces[-1])
        return len(self._pieces[-1])

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken
