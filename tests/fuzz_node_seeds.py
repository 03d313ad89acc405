"""Seeds of `fuzz_node_targets`: one real input or more for each."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from raster_files import gradient, write_raster
from update_repository import UpdateRepository

from rsq.audit import FILE_NAME, AuditLog
from rsq.call_record import CallRecord, Identity
from rsq.records import NodeReport
from rsq.tar_header import BLOCK_BYTES, decode_size
from rsq.tokens import Scope, make_token
from rsq.updates.metadata_files import encode_document
from rsq.v1 import registry_pb2
from rsq.wire import registry as registry_wire
from rsq_agent.collections.collection_record import CollectionRecord
from rsq_agent.collections.migration_record import MigrationRecord
from rsq_agent.collections.snapshot_writer import write_snapshot
from rsq_agent.collections.stored_place import Extents
from rsq_agent.token_file import TokenFile

NOW = datetime(2026, 11, 24, tzinfo=UTC)
ITEM = {
    "type": "Feature",
    "stac_version": "1.0.0",
    "id": "scene",
    "bbox": [170.0, -10.0, -170.0, 10.0],
    "geometry": {"type": "Polygon", "coordinates": [[[1, 2], [3, 2], [3, 4], [1, 2]]]},
    "properties": {"datetime": "2024-05-01T10:30:00Z"},
    "assets": {"visual": {"href": "scene.tif", "roles": ["visual"], "type": "image/tiff"}},
    "links": [{"rel": "self", "href": "item.json"}],
}
CATALOG = {"type": "Catalog", "id": "c", "links": [{"rel": "child", "href": "../c/catalog.json"}]}
ROW = {
    "uri": "a.tif",
    "datetime": "2024-05-01",
    "bbox": [1, 2, 3, 4],
    "tags": ["a"],
    "window": {"x": 0, "y": 0, "width": 8, "height": 8},
}


def make_node_seeds(folder: Path) -> dict[str, list[bytes]]:
    scenes = [
        write_raster(folder / "rgb.tif", gradient(24, 32)),
        write_raster(folder / "deep.tif", gradient(24, 32, 4).astype(np.uint16), nodata=0),
        write_raster(
            folder / "tiled.tif", gradient(32, 32, 1), tiled=True, blockxsize=16, blockysize=16,
            compress="deflate",
        ),
    ]  # fmt: skip
    rasters = [scene.read_bytes() for scene in scenes]
    text, token = make_token("seed", [Scope.PULL], expires_at=None, now=NOW)
    TokenFile(folder / "agent").add(token)
    migration = MigrationRecord(
        "scenes", "ready", "scenes", "scenes.0a1b2c3d", "5" * 64, "6" * 64, 16, "tiny:2"
    )
    repository = UpdateRepository(now=NOW)
    files = sorted(repository.files.items(), key=lambda item: str(item[0]))
    report = NodeReport("n" * 32, "edge-1", "0.1.0", "cpu", ("cpu",), 10**9, "tiny", 1, (), ())
    request = registry_pb2.ReportNodeRequest(report=registry_wire.node_report_to_pb(report))
    waiver = {"until": NOW.isoformat(), "since": NOW.isoformat(), "reason": "away", "by": "ops"}
    policy = {"require_signed": True, "grace_days": 3, "waivers": [waiver]}
    snapshot = _snapshot(folder / "shard")
    index_bytes = decode_size(snapshot[:BLOCK_BYTES])
    return {
        "scene": rasters,
        "tiff-tags": rasters[:1],
        "stac": [json.dumps(ITEM).encode(), json.dumps(CATALOG).encode()],
        "json-lines": [json.dumps(ROW).encode() + b"\n"],
        "parquet": [_parquet(folder / "list.parquet", {"uri": ["a.tif"], "tags": [["a"]]})],
        "vectors": [_vectors(folder / "vectors.parquet")],
        "migration-record": [json.dumps(asdict(migration)).encode()],
        "snapshot": [snapshot],
        "snapshot-index": [snapshot[BLOCK_BYTES : BLOCK_BYTES + index_bytes]],
        "trust-files": [
            json.dumps(policy).encode(), json.dumps({"signed_at": NOW.isoformat()}).encode()
        ],
        "metadata": [*(data for _, data in files), encode_document(repository.files)],
        "metadata-name": [str(name).encode() for name, _ in files],
        "token": [text.encode()],
        "token-list": [(folder / "agent/tokens.json").read_bytes()],
        "audit": [_audit(folder / "audit")],
        "pb-summary": [request.SerializeToString()],
    }  # fmt: skip


def _parquet(path: Path, columns: dict[str, list[object]]) -> bytes:
    parquet.write_table(pa.table(columns), path)
    return path.read_bytes()


def _vectors(path: Path) -> bytes:
    return _parquet(
        path,
        {
            "uri": ["a.tif"],
            "artifact_id": ["a" * 64],
            "space_id": ["5" * 64],
            "embedding": [[1.0, 0.0]],
            "datetime": ["2024-05-01T10:30:00Z"],
            "tags": [["a"]],
        },
    )


def _snapshot(shard: Path) -> bytes:
    (shard / "wal").mkdir(parents=True)
    (shard / "wal/first-index").write_bytes(b"x")
    (shard / "edge_config.json").write_bytes(b"{}")
    record = CollectionRecord("scenes", "5" * 64, 16, NOW.isoformat(), "shard-0", Extents())
    return b"".join(write_snapshot(record, 3, shard).pieces)


def _audit(folder: Path) -> bytes:
    call = CallRecord("rsq.v1.Registry/SetAlias", "request-1", "ipv4:10.0.0.5:4000")
    call.caller = Identity("ci", "0123456789ab")
    AuditLog(folder).record(call)
    return (folder / FILE_NAME).read_bytes()
