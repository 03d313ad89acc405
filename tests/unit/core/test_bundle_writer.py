"""rsq.bundle_writer: the same version gives the same bytes, and a failure leaves no file."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from version_samples import MemoryBlobs, make_stored_version

from rsq.bundle import BundleReader
from rsq.bundle_writer import write_bundle
from rsq.errors import IntegrityError, NotFound
from rsq.version_files import needed_digests, read_manifest
from rsq.version_record import decode_version, encode_version


def test_a_tar_reader_finds_the_index_the_record_and_each_blob_once(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    version = make_stored_version(blobs)
    path = tmp_path / "tiny.rsq"
    size_bytes = write_bundle(path, version, blobs)
    assert path.stat().st_size == size_bytes
    with tarfile.open(path) as archive:
        contents = {
            member.name: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive
        }
        names = archive.getnames()
    needed = needed_digests(version, lambda identity: read_manifest(blobs, identity))
    assert names == ["rsq-bundle.json", "version.json", *(f"blobs/sha256/{d}" for d in needed)]
    assert decode_version(contents["version.json"]) == decode_version(encode_version(version))
    assert all(contents[f"blobs/sha256/{d}"] == blobs.contents[d] for d in needed)


def test_the_same_version_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        blobs = MemoryBlobs()
        blobs.add(name.encode())  # what else a registry holds changes nothing
        write_bundle(tmp_path / name, make_stored_version(blobs), blobs)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_progress_rises_to_the_whole(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    seen: list[tuple[int, int]] = []
    size_bytes = write_bundle(
        tmp_path / "out",
        make_stored_version(blobs),
        blobs,
        lambda done, total: seen.append((done, total)),
    )
    assert {total for _, total in seen} == {size_bytes}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == size_bytes


@pytest.mark.parametrize("change", ["damaged", "longer", "missing"])
def test_a_damaged_or_missing_blob_leaves_no_file(tmp_path: Path, change: str) -> None:
    blobs = MemoryBlobs()
    version = make_stored_version(blobs)
    assert version.details_digest is not None
    if change == "missing":
        del blobs.contents[version.details_digest]
    else:
        data = blobs.contents[version.details_digest]
        blobs.contents[version.details_digest] = data[:-1] + (
            b"?" if change == "damaged" else b"??"
        )
    with pytest.raises(NotFound if change == "missing" else IntegrityError):
        write_bundle(tmp_path / "out", version, blobs)
    assert list(tmp_path.iterdir()) == []


def test_signed_metadata_goes_along_as_one_more_blob(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    version = make_stored_version(blobs)
    write_bundle(tmp_path / "plain.rsq", version, blobs)
    write_bundle(tmp_path / "signed.rsq", version, blobs, trust=b"signed metadata")
    with (
        BundleReader(tmp_path / "plain.rsq") as plain,
        BundleReader(tmp_path / "signed.rsq") as signed,
    ):
        assert plain.trust() is None
        assert signed.trust() == b"signed metadata"
        assert len(signed.digests()) == len(plain.digests()) + 1
        signed.verify()
