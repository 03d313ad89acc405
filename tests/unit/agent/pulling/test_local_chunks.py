"""rsq_agent.pulling.local_chunks: what other artifacts on the node can lend to a new one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_artifacts import TinyArtifact, build_artifact

from rsq.digest import digest_bytes
from rsq_agent.cache import Cache
from rsq_agent.pulling.local_chunks import LocalChunks


@pytest.fixture
def artifact(tmp_path: Path) -> TinyArtifact:
    return build_artifact(tmp_path / "artifact", "vision", padding_bytes=50_000)


@pytest.fixture
def cache(tmp_path: Path, artifact: TinyArtifact) -> Cache:
    cache = Cache(tmp_path / "agent")
    cache.add_manifest(artifact.id, artifact.manifest_bytes)
    for entry in artifact.manifest.files:
        copy = tmp_path / "copy"
        copy.write_bytes((artifact.folder / entry.name).read_bytes())
        cache.add_blob(copy, entry)
    return cache


def test_every_chunk_of_a_stored_file_can_be_lent(cache: Cache, artifact: TinyArtifact) -> None:
    weights = artifact.manifest.file("weights")
    local = LocalChunks(cache, [weights])
    pieces = [local.read(digest) for digest in weights.chunks]
    assert (
        b"".join(piece or b"" for piece in pieces) == (artifact.folder / weights.name).read_bytes()
    )


def test_only_chunks_that_are_wanted_are_known(cache: Cache, artifact: TinyArtifact) -> None:
    weights, graph = artifact.manifest.file("weights"), artifact.manifest.file("graph")
    local = LocalChunks(cache, [graph])
    assert graph.chunks[0] in local
    assert weights.chunks[0] not in local
    assert local.read(weights.chunks[0]) is None


def test_a_chunk_that_was_damaged_on_disk_is_not_lent(cache: Cache, artifact: TinyArtifact) -> None:
    weights = artifact.manifest.file("weights")
    path = cache.blob_path(weights.sha256)
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    local = LocalChunks(cache, [weights])
    assert local.read(weights.chunks[1]) is None
    assert digest_bytes(local.read(weights.chunks[0]) or b"") == weights.chunks[0]


def test_a_file_that_went_away_lends_nothing(cache: Cache, artifact: TinyArtifact) -> None:
    weights = artifact.manifest.file("weights")
    local = LocalChunks(cache, [weights])
    cache.blob_path(weights.sha256).unlink()
    assert local.read(weights.chunks[0]) is None


def test_a_damaged_manifest_is_passed_over(cache: Cache, artifact: TinyArtifact) -> None:
    cache.manifest_path(artifact.id).write_bytes(b"{}")
    weights = artifact.manifest.file("weights")
    assert weights.chunks[0] not in LocalChunks(cache, [weights])
