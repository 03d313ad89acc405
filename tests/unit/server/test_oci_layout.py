"""rsq_server.oci_layout: complete folders, written again without harm."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from version_samples import DETAILS, MemoryBlobs, make_stored_version

from rsq.digest import digest_bytes, digest_file
from rsq.errors import BadInput, BadManifest, EnvironmentFault, IntegrityError
from rsq_server.oci_layout import write_layout
from rsq_server.oci_reader import read_layout

BLOBS = MemoryBlobs()
VERSION = make_stored_version(BLOBS)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_layout_has_its_marker_its_index_and_true_blobs(tmp_path: Path) -> None:
    size_bytes = write_layout(tmp_path / "layout", VERSION, BLOBS)
    files = list((tmp_path / "layout" / "blobs" / "sha256").iterdir())
    assert all(digest_file(path) == path.name and not path.is_symlink() for path in files)
    assert {path.name for path in files} > set(BLOBS.contents)
    assert size_bytes == sum(path.stat().st_size for path in files)
    assert json.loads((tmp_path / "layout" / "oci-layout").read_bytes()) == {
        "imageLayoutVersion": "1.0.0"
    }
    index = json.loads((tmp_path / "layout" / "index.json").read_bytes())
    (image,) = index["manifests"]
    assert index["schemaVersion"] == 2
    assert image["annotations"] == {"org.opencontainers.image.ref.name": "tiny-3"}
    assert image["digest"].removeprefix("sha256:") in {path.name for path in files}


def test_writing_it_again_changes_nothing_and_heals_a_damaged_blob(tmp_path: Path) -> None:
    write_layout(tmp_path, VERSION, BLOBS)
    before = contents(tmp_path)
    (tmp_path / "blobs" / "sha256" / digest_bytes(DETAILS)).write_bytes(b"damaged")
    seen: list[tuple[int, int]] = []
    total = write_layout(tmp_path, VERSION, BLOBS, lambda *now: seen.append(now))
    assert contents(tmp_path) == before
    assert seen == [(total, total)]


def test_a_second_version_comes_beside_the_first(tmp_path: Path) -> None:
    write_layout(tmp_path, VERSION, BLOBS)
    write_layout(tmp_path, replace(VERSION, version=4), BLOBS)
    write_layout(tmp_path, VERSION, BLOBS)
    assert [one.version().version for one in read_layout(tmp_path)] == [4, 3]


def test_a_folder_with_something_else_in_it_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BadInput, match="something else"):
        write_layout(tmp_path, VERSION, BLOBS)
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_a_damaged_blob_leaves_no_index_and_the_next_try_goes_on(tmp_path: Path) -> None:
    broken = MemoryBlobs({**BLOBS.contents, digest_bytes(DETAILS): DETAILS.swapcase()})
    with pytest.raises(IntegrityError):
        write_layout(tmp_path, VERSION, broken)
    assert not (tmp_path / "index.json").exists()
    write_layout(tmp_path, VERSION, BLOBS)
    assert len(read_layout(tmp_path)) == 1


def test_a_path_that_cant_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFault):
        write_layout(tmp_path / "file", VERSION, BLOBS)


def test_a_malformed_layout_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "oci-layout").write_text('{"imageLayoutVersion": "2.0.0"}')
    (tmp_path / "index.json").write_text('{"manifests": []}')
    with pytest.raises(BadManifest):
        write_layout(tmp_path, VERSION, BLOBS)
