"""The writer and the reader together: what one writes the other must read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from rsq.errors import BadInput, EnvironmentFault, SpaceMismatch
from rsq.retrieval import BoundingBox, CollectionExport, Payload, StoredRecord, Window
from rsq_agent.results import geoparquet_writer
from rsq_agent.results.geoparquet_reader import read_geoparquet
from rsq_agent.results.geoparquet_writer import write_geoparquet
from rsq_agent.results.wkb import decode_polygons

DIMENSION = 8
SPACE_ID = "5" * 64


def make_records(payloads: Sequence[Payload]) -> list[StoredRecord]:
    rows = np.random.default_rng(3).normal(size=(len(payloads), DIMENSION)).astype(np.float32)
    return [
        StoredRecord(f"/scenes/{n}.tif", payload, "a" * 64, row / np.linalg.norm(row))
        for n, (payload, row) in enumerate(zip(payloads, rows, strict=True))
    ]


def write(path: Path, records: Sequence[StoredRecord]) -> int:
    export = CollectionExport(SPACE_ID, DIMENSION, len(records), iter(records))
    return write_geoparquet(path, export, collection="harbours")


PAYLOADS = (
    Payload(),
    Payload(Window(0, 256, 128, 64), tags=("port", "naip"), stamp="10-20"),
    Payload(bbox=BoundingBox(4, 51, 5, 52), datetime="2024-05-01T10:30:00Z"),
    Payload(
        bbox=BoundingBox(3.9, 51, 5, 52),
        datetime="2024-05-01T10:30:00.250000Z",
        footprint=((4.0, 51.0), (5.0, 51.2), (4.9, 52.0), (3.9, 51.8)),
    ),
    Payload(bbox=BoundingBox(179.5, -17, -179.5, -16)),
)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    records = make_records(PAYLOADS)
    assert write(path, records) == len(records)
    file = read_geoparquet(path)
    assert (file.space_id, file.dimension, file.collection) == (SPACE_ID, DIMENSION, "harbours")
    assert file.total == len(records)
    for before, after in zip(records, file.records, strict=True):
        assert (after.uri, after.artifact_id) == (before.uri, before.artifact_id)
        assert after.payload == before.payload
        assert after.vector.tobytes() == before.vector.tobytes()


def test_the_file_is_geoparquet_that_others_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path, make_records(PAYLOADS))
    table = parquet.read_table(path)
    geo = json.loads(table.schema.metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    column = geo["columns"][geo["primary_column"]]
    assert column["encoding"] == "WKB"
    assert "crs" not in column  # absent means longitude and latitude, WGS84
    assert column["covering"]["bbox"]["xmax"] == ["bbox", "xmax"]
    kinds = [None if g is None else len(decode_polygons(g)) for g in table["geometry"].to_pylist()]
    assert kinds == [None, None, 1, 1, 2]
    # The covering is planar, so that a reader that skips by it misses nothing.
    assert table["bbox"][4].as_py() == {"xmin": -180, "ymin": -17, "xmax": 180, "ymax": -16}
    assert table.schema.field("datetime").type == pa.timestamp("us", tz="UTC")
    assert table.schema.field("embedding").type.list_size == DIMENSION
    assert set(table["space_id"].to_pylist()) == {SPACE_ID}


def test_row_groups_bound_what_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(geoparquet_writer, "MAX_ROW_GROUP_BYTES", 10 * DIMENSION * 4)
    records = make_records([Payload()] * 95)
    read = 0

    def count() -> Iterator[StoredRecord]:
        nonlocal read
        for record in records:
            read += 1
            yield record

    export = CollectionExport(SPACE_ID, DIMENSION, 95, count())
    taken = []
    monkeypatch.setattr(
        geoparquet_writer, "write_output", lambda path, pieces: taken.extend(read for _ in pieces)
    )
    write_geoparquet(tmp_path / "a.parquet", export, collection="c")
    assert taken == [10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 95]


def test_an_export_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    def fail() -> Iterator[StoredRecord]:
        yield make_records([Payload()])[0]
        raise EnvironmentFault("The agent went away.")

    export = CollectionExport(SPACE_ID, DIMENSION, 9, fail())
    with pytest.raises(EnvironmentFault, match="went away"):
        write_geoparquet(tmp_path / "a.parquet", export, collection="c")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_went_through_another_program_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    records = make_records(PAYLOADS[:3])
    write(path, records)
    table = parquet.read_table(path)
    embedding = table["embedding"].cast(pa.list_(pa.float64()))
    moment = table["datetime"].cast(pa.timestamp("ns"))
    table = table.set_column(9, "embedding", embedding).set_column(4, "datetime", moment)
    parquet.write_table(table.drop_columns(["stamp", "bbox"]).replace_schema_metadata(None), path)
    file = read_geoparquet(path)
    assert (file.dimension, file.collection) == (DIMENSION, "")
    rows = list(file.records)
    assert rows[2].payload == records[2].payload
    assert rows[0].vector.tobytes() == records[0].vector.tobytes()


@pytest.mark.parametrize("column", ["uri", "space_id", "artifact_id", "embedding"])
def test_a_file_without_a_needed_column_is_refused_by_its_name(tmp_path: Path, column: str) -> None:
    path = tmp_path / "a.parquet"
    write(path, make_records(PAYLOADS))
    parquet.write_table(parquet.read_table(path).drop_columns([column]), path)
    with pytest.raises(BadInput, match=column):
        read_geoparquet(path)


def test_a_file_of_two_spaces_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path, make_records(PAYLOADS))
    table = parquet.read_table(path)
    spaces = pa.array([SPACE_ID] * 4 + ["6" * 64])
    parquet.write_table(table.set_column(8, "space_id", spaces), path)
    with pytest.raises(SpaceMismatch, match="2 embedding spaces"):
        read_geoparquet(path)


def test_files_that_hold_no_vectors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path, [])
    with pytest.raises(BadInput, match="no rows"):
        read_geoparquet(path)
    path.write_bytes(b"PAR1 is how it would begin")
    with pytest.raises(BadInput, match="no Parquet file"):
        read_geoparquet(path)
    with pytest.raises(BadInput, match="No such file"):
        read_geoparquet(tmp_path / "gone.parquet")


def test_a_geometry_that_is_none_is_refused_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path, make_records(PAYLOADS[:2]))
    table = parquet.read_table(path)
    parquet.write_table(table.set_column(2, "geometry", pa.array([None, b"junk"])), path)
    with pytest.raises(BadInput, match=r"1\.tif"):
        list(read_geoparquet(path).records)


def test_without_pyarrow_a_sentence_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from pathlib import Path\n"
        "from rsq_agent.results.geoparquet_reader import read_geoparquet\n"
        "from rsq.errors import EnvironmentFault\n"
        "try: read_geoparquet(Path('a'))\n"
        "except EnvironmentFault as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'rsq-agent[geo]'" in done.stdout
