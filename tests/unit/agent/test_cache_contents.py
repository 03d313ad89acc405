"""rsq_agent.cache_contents: what is listed, and that nothing in use is removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock
from tiny_artifacts import TinyArtifact, build_artifact

from rsq.errors import BadInput, Exhausted, NotFound
from rsq.providers import CPU_PROVIDER
from rsq_agent.cache import Cache
from rsq_agent.cache_contents import list_artifacts, prune, remove_artifact
from rsq_agent.state import Activation, NodeState, save_state


def _add(cache: Cache, folder: Path, seed: int) -> TinyArtifact:
    artifact = build_artifact(folder / str(seed), "text", seed=seed, padding_bytes=1000)
    cache.add_manifest(artifact.id, artifact.manifest_bytes)
    for entry in artifact.manifest.files:
        copy = folder / "copy"
        copy.write_bytes((artifact.folder / entry.name).read_bytes())
        cache.add_blob(copy, entry)
    return artifact


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "agent")


@pytest.fixture
def artifacts(cache: Cache, tmp_path: Path) -> list[TinyArtifact]:
    """Unused, previous, active."""
    found = [_add(cache, tmp_path, seed) for seed in (1, 2, 3)]
    state = NodeState()
    for artifact in found[1:]:
        state = state.activate(Activation("tiny", 1, (artifact.id,), (CPU_PROVIDER,), 8))
    save_state(cache, state)
    return found


def test_the_list_says_what_serves_and_what_a_rollback_needs(
    cache: Cache, artifacts: list[TinyArtifact]
) -> None:
    unused, previous, active = artifacts
    rows = list_artifacts(cache)
    assert [(row.id, row.state) for row in rows] == [
        (active.id, "active"),
        (previous.id, "previous"),
        (unused.id, "unused"),
    ]
    assert all(row.complete and row.tower == "text" for row in rows)
    assert rows[0].size_bytes == sum(entry.size_bytes for entry in active.manifest.files)


def test_an_artifact_that_lacks_a_file_is_not_complete(
    cache: Cache, artifacts: list[TinyArtifact]
) -> None:
    cache.blob_path(artifacts[0].manifest.file("weights").sha256).unlink()
    assert [row.complete for row in list_artifacts(cache)] == [True, True, False]


def test_pruning_leaves_whole_what_is_needed(cache: Cache, artifacts: list[TinyArtifact]) -> None:
    unused, previous, active = artifacts
    cut_off = cache.partial_path("e" * 64)
    cut_off.parent.mkdir(parents=True)
    cut_off.write_bytes(b"x" * 10_000)
    (cut_off.parent / f"{cut_off.name}.chunks").write_bytes(b"x")
    folder = cache.artifact_folder(unused.id)
    planned = prune(cache, dry_run=True)
    assert cut_off.exists()
    assert cache.artifact_ids() == sorted(a.id for a in artifacts)
    assert prune(cache, dry_run=False) == planned
    assert planned.artifact_ids == (unused.id,)
    assert planned.freed_bytes >= 10_000
    assert not cut_off.exists()
    assert not folder.exists()
    assert not cache.has_blob(unused.manifest.file("weights"))
    for artifact in (previous, active):
        cache.verify_artifact(artifact.id)
    assert prune(cache, dry_run=False).freed_bytes == 0


def test_an_artifact_goes_by_the_first_characters_of_its_id(
    cache: Cache, artifacts: list[TinyArtifact]
) -> None:
    removal = remove_artifact(cache, artifacts[0].id[:16])
    assert removal.artifact_ids == (artifacts[0].id,)
    assert removal.freed_bytes > 0
    # The tokenizer is every artifact's, and stays.
    assert cache.has_blob(artifacts[0].manifest.file("tokenizer"))
    with pytest.raises(NotFound):
        remove_artifact(cache, artifacts[0].id)


@pytest.mark.parametrize("place", [1, 2], ids=["previous", "active"])
def test_what_is_in_use_is_not_removed(
    cache: Cache, artifacts: list[TinyArtifact], place: int
) -> None:
    with pytest.raises(BadInput, match=r"serves|rollback"):
        remove_artifact(cache, artifacts[place].id)
    cache.verify_artifact(artifacts[place].id)


def test_an_id_that_several_artifacts_have_is_refused(
    cache: Cache, artifacts: list[TinyArtifact]
) -> None:
    with pytest.raises(BadInput, match="3 artifacts"):
        remove_artifact(cache, "")


def test_nothing_is_removed_while_a_pull_runs(cache: Cache, artifacts: list[TinyArtifact]) -> None:
    with FileLock(cache.home / "pull.lock"), pytest.raises(Exhausted, match="pull is running"):
        prune(cache, dry_run=False)


def test_what_a_killed_process_was_writing_is_pruned_once_it_is_old(cache: Cache) -> None:
    left = [
        cache.home / ".active.json.x1",
        cache.home / "manifests/.m.x2",
        cache.home / "artifacts/.a.x3",
        cache.home / "partial" / f"{'a' * 64}.lock",
    ]
    young = cache.home / ".active.json.x4"
    for path in (*left, young):
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (0, 0))
    os.utime(young)
    prune(cache, dry_run=True)
    assert all(path.exists() for path in left)
    prune(cache, dry_run=False)
    assert not any(path.exists() for path in left)
    assert young.exists()


def test_a_node_without_anything_lists_nothing(cache: Cache) -> None:
    assert list_artifacts(cache) == []
    assert prune(cache, dry_run=False).freed_bytes == 0
