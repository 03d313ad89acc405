from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rsq.digest import digest_bytes
from rsq.errors import EnvironmentFault, Exhausted, IntegrityError
from rsq_registry.blobs import BlobStore

DATA = b"a blob"
DIGEST = digest_bytes(DATA)


def files_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


def test_lays_blobs_out_as_the_docstring_draws(store: BlobStore, tmp_path: Path) -> None:
    store.put_bytes(DATA)
    assert files_below(tmp_path) == [f"sha256/{DIGEST[:2]}/{DIGEST}"]


def test_a_blob_is_on_disk_before_it_has_its_name(
    store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    fsync, rename = os.fsync, os.replace

    def spy_fsync(descriptor: int) -> None:
        steps.append(("fsync", Path(os.readlink(f"/proc/self/fd/{descriptor}"))))
        fsync(descriptor)

    def spy_replace(source: Path, target: Path) -> None:
        steps.append(("rename", target))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", spy_replace)
    store.put_bytes(DATA)

    folder = tmp_path / "sha256" / DIGEST[:2]
    (first, unfinished), *rest = steps
    assert (first, unfinished.parent) == ("fsync", tmp_path / "incoming")
    assert rest == [
        ("fsync", folder.parent),
        ("rename", folder / DIGEST),
        ("fsync", folder),
    ]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fills_up_at_the_last_moment_leaves_nothing(
    store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(Exhausted, match="disk is full"):
        store.put_bytes(DATA)
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("damaged", [DATA[:-1], DATA + b"x", b"A blob"])
def test_verify_sees_truncation_and_damage_and_storing_again_heals(
    store: BlobStore, tmp_path: Path, damaged: bytes
) -> None:
    store.put_bytes(DATA)
    path = tmp_path / "sha256" / DIGEST[:2] / DIGEST
    path.unlink()
    path.write_bytes(damaged)
    with pytest.raises(IntegrityError, match="damaged"):
        store.verify(DIGEST)
    store.put_bytes(DATA)
    store.verify(DIGEST)


def test_blobs_are_read_only(store: BlobStore, tmp_path: Path) -> None:
    store.put_bytes(DATA)
    assert (tmp_path / "sha256" / DIGEST[:2] / DIGEST).stat().st_mode & 0o222 == 0


def test_foreign_files_are_no_blobs(store: BlobStore, tmp_path: Path) -> None:
    store.put_bytes(DATA)
    folder = tmp_path / "sha256" / DIGEST[:2]
    (folder / "README").write_text("hello")
    other = tmp_path / "sha256" / ("00" if DIGEST[:2] != "00" else "11")
    other.mkdir()
    (other / DIGEST).write_bytes(DATA)  # in another digest's folder
    (tmp_path / "sha256" / ".DS_Store").write_text("a stray file")
    assert list(store.digests()) == [DIGEST]


def test_a_killed_writer_leaves_no_blob_and_its_rest_is_discarded_when_old(tmp_path: Path) -> None:
    program = f"""
import os
from pathlib import Path
from rsq_registry.blobs import BlobStore

def pieces():
    yield {DATA!r}
    os._exit(9)

BlobStore(Path({str(tmp_path)!r})).put_pieces(pieces())
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9
    store = BlobStore(tmp_path)
    assert list(store.digests()) == []
    assert len(files_below(tmp_path)) == 1
    assert store.discard_unfinished(older_than_s=3600) == 0
    assert store.discard_unfinished(older_than_s=0) == 1
    assert files_below(tmp_path) == []


def test_a_root_that_is_a_file_is_the_environments_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="can't be made"):
        BlobStore(tmp_path / "file" / "blobs")
