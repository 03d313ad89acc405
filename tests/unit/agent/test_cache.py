from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from tiny_artifacts import TinyArtifact, build_artifact

from rsq.errors import BadInput, IntegrityError, NotFound
from rsq_agent.cache import Cache


@pytest.fixture
def artifact(tmp_path: Path) -> TinyArtifact:
    return build_artifact(tmp_path / "source", "text")


def fill(cache: Cache, artifact: TinyArtifact) -> None:
    cache.add_manifest(artifact.id, artifact.manifest_bytes)
    for entry in artifact.manifest.files:
        copy = cache.partial_path(entry.sha256)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((artifact.folder / entry.name).read_bytes())
        cache.add_blob(copy, entry)


def test_a_complete_artifact_is_verified_and_opened_under_its_names(
    tmp_path: Path, artifact: TinyArtifact
) -> None:
    cache = Cache(tmp_path / "home")
    fill(cache, artifact)
    assert [e for e in artifact.manifest.files if not cache.has_blob(e)] == []
    assert cache.verify_artifact(artifact.id) == artifact.manifest
    folder = cache.artifact_folder(artifact.id)
    for entry in artifact.manifest.files:
        blob = cache.blob_path(entry.sha256)
        assert (folder / entry.name).read_bytes() == blob.read_bytes()
        assert (folder / entry.name).stat().st_ino == blob.stat().st_ino  # no second copy
    assert cache.artifact_folder(artifact.id) == folder


@pytest.mark.parametrize("nanoseconds", [0, 1])  # a clock that did not tick in between, or did
def test_links_to_a_blob_that_was_replaced_are_made_anew(
    tmp_path: Path, artifact: TinyArtifact, nanoseconds: int
) -> None:
    cache = Cache(tmp_path / "home")
    fill(cache, artifact)
    linked = cache.artifact_folder(artifact.id) / artifact.manifest.file("weights").name
    blob = cache.blob_path(artifact.manifest.file("weights").sha256)
    good, written = blob.read_bytes(), blob.stat().st_mtime_ns
    blob.unlink()
    blob.write_bytes(good)
    os.utime(blob, ns=(written, written - nanoseconds))
    assert cache.artifact_folder(artifact.id) == linked.parent
    assert linked.stat().st_ino == blob.stat().st_ino


def test_without_hard_links_the_files_are_copied_once(
    tmp_path: Path, artifact: TinyArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EPERM, "no hard links")

    monkeypatch.setattr(os, "link", refuse)
    cache = Cache(tmp_path / "home")
    fill(cache, artifact)
    for entry in artifact.manifest.files:
        os.utime(cache.blob_path(entry.sha256), ns=(0, 0))
    folder = cache.artifact_folder(artifact.id)
    made = [(folder / entry.name).stat().st_ino for entry in artifact.manifest.files]
    assert cache.artifact_folder(artifact.id) == folder
    assert [(folder / entry.name).stat().st_ino for entry in artifact.manifest.files] == made
    os.utime(cache.blob_path(artifact.manifest.file("weights").sha256))  # replaced later
    cache.artifact_folder(artifact.id)
    assert [(folder / entry.name).stat().st_ino for entry in artifact.manifest.files] != made


def test_a_manifest_of_another_id_is_refused(tmp_path: Path, artifact: TinyArtifact) -> None:
    cache = Cache(tmp_path / "home")
    with pytest.raises(IntegrityError):
        cache.add_manifest("0" * 64, artifact.manifest_bytes)
    assert not cache.manifest_path("0" * 64).exists()


def test_wrong_bytes_never_become_a_blob(tmp_path: Path, artifact: TinyArtifact) -> None:
    cache = Cache(tmp_path / "home")
    entry = artifact.manifest.file("weights")
    wrong = tmp_path / "wrong"
    wrong.write_bytes(bytes(entry.size_bytes))
    with pytest.raises(IntegrityError):
        cache.add_blob(wrong, entry)
    assert not cache.has_blob(entry)


def test_a_bit_changed_at_rest_is_found(tmp_path: Path, artifact: TinyArtifact) -> None:
    cache = Cache(tmp_path / "home")
    fill(cache, artifact)
    path = cache.blob_path(artifact.manifest.file("weights").sha256)
    data = bytearray(path.read_bytes())
    data[3] ^= 4
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"model\.onnx\.data"):
        cache.verify_artifact(artifact.id)
    cache.manifest_path(artifact.id).write_bytes(b"{}")
    with pytest.raises(IntegrityError, match="manifest"):
        cache.manifest(artifact.id)


def test_what_was_never_pulled_is_not_found(tmp_path: Path, artifact: TinyArtifact) -> None:
    cache = Cache(tmp_path / "home")
    with pytest.raises(NotFound, match="pull"):
        cache.verify_artifact(artifact.id)
    cache.add_manifest(artifact.id, artifact.manifest_bytes)
    with pytest.raises(NotFound, match="pull"):
        cache.verify_artifact(artifact.id)


def test_names_never_become_paths(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for name in ("../../etc/passwd", "a" * 63, ""):
        for make in (cache.blob_path, cache.partial_path, cache.manifest_path):
            with pytest.raises(BadInput):
                make(name)
