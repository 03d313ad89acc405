"""A registry with one version of random bytes, for benchmarks of moving: no model is built."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS))

from tiny_registry import store_version  # noqa: E402

from rsq.chunks import FileEntry  # noqa: E402
from rsq.manifest import CHUNK_BYTES, decode_manifest  # noqa: E402
from rsq_server.app import open_stores  # noqa: E402
from rsq_server.config import ServerConfig  # noqa: E402

MODEL = "tiny"


def fill_registry(
    home: Path, folder: Path, *, size_bytes: int, chunk_bytes: int = CHUNK_BYTES, seed: int = 0
) -> FileEntry:
    """Adds a version of `MODEL` to the registry below RSQ_HOME `home`, whose vision weights are
    `size_bytes` of noise, and returns these weights' entry."""
    with open_stores(ServerConfig(home / "server")) as stores:
        version = store_version(
            stores, folder, seed=seed, padding_bytes=size_bytes - 100, chunk_bytes=chunk_bytes
        )
        vision = version.artifact("vision", "fp32")
        assert vision is not None
        return decode_manifest(stores.catalogue.artifact_manifest(vision.id)).file("weights")
