"""What a node reads from its disk, from scenes and from signers, as targets to fuzz."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime

from fuzz_target import Target, as_file, as_folder, as_message

from rsq.audit import FILE_NAME, read_audit
from rsq.digest import digest_bytes
from rsq.errors import RsqError
from rsq.retrieval import Window
from rsq.rpc.request_summary import summarize
from rsq.tar_header import TRAILER, encode_header, padding_bytes
from rsq.tokens import Scope, check_token, make_token, read_token_file
from rsq.updates.fetcher import Fetched
from rsq.updates.metadata_files import decode_document
from rsq.updates.names import MetadataName, parse_name
from rsq.updates.refresh import read_root
from rsq.v1 import registry_pb2
from rsq_agent.collections.migration_record import MIGRATION_NAME, read_migration
from rsq_agent.collections.snapshot_index import DIGEST_NAME, INDEX_NAME, data_name
from rsq_agent.collections.snapshot_reader import SnapshotReader
from rsq_agent.indexing.raster_footprint import locate_tiles
from rsq_agent.indexing.rasters import find_scene_limits, open_raster, read_window
from rsq_agent.indexing.stac import read_stac
from rsq_agent.indexing.tiff_tags import is_raster
from rsq_agent.indexing.uri_list import read_json_lines, read_parquet
from rsq_agent.results.geoparquet_reader import read_geoparquet
from rsq_agent.token_file import TokenFile
from rsq_agent.trust.folder import TrustFolder

MAX_PIXELS = 1 << 16  # keeps an execution short; the bound itself is what is tried
_NOW = datetime(2026, 11, 24, tzinfo=UTC)
_, _TOKEN = make_token("fuzz", [Scope.PULL], expires_at=None, now=_NOW)


def _read_scene(data: bytes) -> None:
    with as_folder("scene.tif", data) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GDAL's, about files that it can read nevertheless
        raster = open_raster(folder / "scene.tif", max_pixels=MAX_PIXELS)
        find_scene_limits(raster)
        window = Window(0, 0, min(raster.width, 16), min(raster.height, 16))
        read_window(raster, window)
        locate_tiles(raster, [window])


def _read_tags(data: bytes) -> None:
    with as_file(data) as path:
        is_raster(path)


def _read_stac(data: bytes) -> None:
    with as_folder("item.json", data) as folder:
        list(read_stac(folder / "item.json"))


def _read_json_lines(data: bytes) -> None:
    with as_folder("list.jsonl", data) as folder:
        list(read_json_lines(folder / "list.jsonl"))


def _read_parquet(data: bytes) -> None:
    with as_folder("list.parquet", data) as folder:
        list(read_parquet(folder / "list.parquet"))


def _read_vectors(data: bytes) -> None:
    with as_folder("vectors.parquet", data) as folder:
        list(read_geoparquet(folder / "vectors.parquet").records)


def _read_migration(data: bytes) -> None:
    with as_folder(MIGRATION_NAME, data) as folder:
        read_migration(folder)


def _read_snapshot(data: bytes) -> None:
    with as_folder("unused", b"") as folder:
        SnapshotReader([data]).write_files(folder / "shard")


def _read_snapshot_index(data: bytes) -> None:
    """As one that its digest agrees with, so that what it says is looked at."""
    digest = digest_bytes(data).encode()
    pieces = [
        encode_header(INDEX_NAME, len(data)), data, bytes(padding_bytes(len(data))),
        encode_header(DIGEST_NAME, len(digest)), digest, bytes(padding_bytes(len(digest))),
        encode_header(data_name(0), 1), b"x", bytes(padding_bytes(1)), TRAILER,
    ]  # fmt: skip
    _read_snapshot(b"".join(pieces))


def _read_trust_files(data: bytes) -> None:
    for name in ("policy.json", "floor.json"):
        with as_folder("unused", b"") as home:
            folder = TrustFolder(home)
            folder.folder.mkdir()
            (folder.folder / name).write_bytes(data)
            for read in (folder.policy, folder.floor):
                try:
                    read()
                except RsqError:
                    continue


def _read_metadata(data: bytes) -> None:
    fetched = Fetched(MetadataName("timestamp"), data)
    assert isinstance(fetched.version, int)
    _ = fetched.signed_at
    for read in (read_root, lambda found: decode_document(found, target="a.rsq")):
        try:
            read(data)
        except RsqError:
            continue


def _read_metadata_name(data: bytes) -> None:
    parse_name(data.decode("utf-8", "surrogateescape"))


def _read_token(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for read in (
        lambda: check_token(text, lambda token_id: _TOKEN, _NOW),
        lambda: _read_token_in_file(data),
    ):
        try:
            read()
        except RsqError:
            continue


def _read_token_in_file(data: bytes) -> None:
    with as_folder("token", data) as folder:
        (folder / "token").chmod(0o600)
        read_token_file(folder / "token")


def _read_token_list(data: bytes) -> None:
    with as_folder("tokens.json", data) as folder:
        for token in TokenFile(folder).tokens():
            token.is_good(_NOW)


def _read_audit(data: bytes) -> None:
    with as_folder(FILE_NAME, data) as folder:
        assert all(isinstance(entry, dict) for entry in read_audit(folder))


NODE_TARGETS = (
    Target("scene", _read_scene, slow=True),
    Target("tiff-tags", _read_tags),
    Target("stac", _read_stac, is_json=True, slow=True),
    Target("json-lines", _read_json_lines, is_json=True, slow=True),
    Target("parquet", _read_parquet, slow=True),
    Target("vectors", _read_vectors, slow=True),
    Target("migration-record", _read_migration, is_json=True, slow=True),
    Target("snapshot", _read_snapshot, slow=True),
    Target("snapshot-index", _read_snapshot_index, is_json=True, slow=True),
    Target("trust-files", _read_trust_files, is_json=True, slow=True),
    Target("metadata", _read_metadata, is_json=True),
    Target("metadata-name", _read_metadata_name),
    Target("token", _read_token, slow=True),
    Target("token-list", _read_token_list, is_json=True, slow=True),
    Target("audit", _read_audit, is_json=True, slow=True),
    Target("pb-summary", as_message(registry_pb2.ReportNodeRequest, summarize)),
)
