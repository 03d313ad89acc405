"""rsq.bundle: what comes out is what went in, and nothing damaged or hostile is accepted."""

from __future__ import annotations

import os
import tarfile
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from version_samples import DETAILS, MemoryBlobs, make_stored_version

from rsq.bundle import BundleReader
from rsq.bundle_index import INDEX_NAME, BundleIndex, Entry, encode_index
from rsq.bundle_writer import write_bundle
from rsq.digest import digest_bytes
from rsq.errors import (
    BadInput,
    BadManifest,
    EnvironmentFault,
    IntegrityError,
    NotFound,
    RsqError,
)
from rsq.records import VersionRow
from rsq.tar_header import TRAILER, encode_header, padding_bytes
from rsq.version_record import decode_version, encode_version

BLOBS = MemoryBlobs()
VERSION = make_stored_version(BLOBS, weights_bytes=700)
LONGEST = 1 << 20


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "tiny.rsq"
    write_bundle(path, VERSION, BLOBS)
    return path


def member(name: str, data: bytes) -> bytes:
    return encode_header(name, len(data)) + data + bytes(padding_bytes(len(data)))


def write_by_hand(path: Path, index: bytes, *members: bytes) -> Path:
    path.write_bytes(member(INDEX_NAME, index) + b"".join(members) + TRAILER)
    return path


def accept(path: Path) -> VersionRow:
    """All that an import reads."""
    with BundleReader(path) as reader:
        reader.verify()
        return reader.version()


def test_a_bundle_gives_back_the_version_and_every_blob(bundle: Path) -> None:
    with BundleReader(bundle) as reader:
        reader.verify()
        assert reader.version() == decode_version(encode_version(VERSION))
        assert sorted(reader.digests()) == sorted(BLOBS.contents)
        for digest, data in BLOBS.contents.items():
            assert reader.size(digest) == len(data)
            assert b"".join(reader.read_blob(digest, 0, len(data))) == data
        for row in VERSION.artifacts:
            assert reader.manifest(row.id) == BLOBS.contents[row.id]


@pytest.mark.parametrize(("offset", "length"), [(0, 3), (5, 4), (5, 10**9), (len(DETAILS), 1)])
def test_any_range_can_be_read_in_any_order(bundle: Path, offset: int, length: int) -> None:
    with BundleReader(bundle) as reader:
        digest = digest_bytes(DETAILS)
        read = b"".join(reader.read_blob(digest, offset, length, timeout_seconds=1.0))
        assert read == DETAILS[offset : offset + length]


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1), (len(DETAILS) + 1, 1)])
def test_a_range_outside_is_refused(bundle: Path, offset: int, length: int) -> None:
    with BundleReader(bundle) as reader, pytest.raises(BadInput):
        next(reader.read_blob(digest_bytes(DETAILS), offset, length))


@pytest.mark.parametrize("reference", ["", "tiny", "tiny:3"])
def test_the_version_answers_to_its_name_and_number(bundle: Path, reference: str) -> None:
    with BundleReader(bundle) as reader:
        assert reader.version(reference).version == 3


@pytest.mark.parametrize(
    ("reference", "error"),
    [
        ("other", NotFound),
        ("tiny:2", NotFound),
        ("tiny@production", NotFound),
        ("../tiny", BadInput),
    ],
)
def test_another_reference_is_refused(bundle: Path, reference: str, error: type[RsqError]) -> None:
    with BundleReader(bundle) as reader, pytest.raises(error, match="tiny"):
        reader.version(reference)


@pytest.mark.parametrize(("digest", "error"), [("0" * 64, NotFound), ("version.json", BadInput)])
def test_only_blobs_have_names(bundle: Path, digest: str, error: type[RsqError]) -> None:
    with BundleReader(bundle) as reader:
        with pytest.raises(error):
            reader.manifest(digest)
        with pytest.raises(error):
            next(reader.read_blob(digest, 0, 1))


def test_verifying_tells_how_far_it_is(bundle: Path) -> None:
    seen: list[tuple[int, int]] = []
    with BundleReader(bundle) as reader:
        reader.verify(lambda done, total: seen.append((done, total)))
    assert len(seen) == len(BLOBS.contents)
    assert seen[-1] == (sum(map(len, BLOBS.contents.values())),) * 2


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_flipped_bit_is_never_accepted(bundle: Path, tmp_path: Path, data: st.DataObject) -> None:
    good = bundle.read_bytes()
    bad = bytearray(good)
    bad[data.draw(st.integers(0, len(good) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "bad.rsq"
    path.write_bytes(bad)
    with pytest.raises(RsqError):
        accept(path)


def test_a_flipped_bit_of_the_headers_or_the_index_is_never_accepted(
    bundle: Path, tmp_path: Path
) -> None:
    good = bundle.read_bytes()
    path = tmp_path / "bad.rsq"
    for position in range(0, 2560, 3):
        bad = bytearray(good)
        bad[position] ^= 1 << position % 8
        path.write_bytes(bad)
        with pytest.raises(RsqError):
            accept(path)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_cut_off_file_is_never_accepted(
    bundle: Path, tmp_path: Path, data: st.DataObject
) -> None:
    good = bundle.read_bytes()
    path = tmp_path / "bad.rsq"
    path.write_bytes(good[: data.draw(st.integers(0, len(good) - 1))])
    with pytest.raises(RsqError):
        accept(path)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(junk=st.binary(max_size=2000))
def test_junk_is_never_accepted(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "junk"
    path.write_bytes(junk)
    with pytest.raises(RsqError):
        accept(path)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(index=st.binary(max_size=500))
def test_a_junk_index_is_never_accepted(tmp_path: Path, index: bytes) -> None:
    with pytest.raises(RsqError):
        accept(write_by_hand(tmp_path / "junk", index))


def test_a_cut_off_file_says_how_much_is_missing(bundle: Path, tmp_path: Path) -> None:
    good = bundle.read_bytes()
    path = tmp_path / "cut.rsq"
    path.write_bytes(good[:-100])
    with pytest.raises(IntegrityError, match=rf"cut off.*{len(good) - 100} of {len(good)} bytes"):
        BundleReader(path)


@pytest.mark.parametrize("extra", [b"\0", bytes(512), b"more"])
def test_what_goes_on_after_its_end_is_refused(bundle: Path, tmp_path: Path, extra: bytes) -> None:
    path = tmp_path / "long.rsq"
    path.write_bytes(bundle.read_bytes() + extra)
    with pytest.raises(IntegrityError, match=f"{len(extra)} bytes after its end"):
        BundleReader(path)


def test_damage_in_a_blob_is_named(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.rsq"
    path.write_bytes(bundle.read_bytes().replace(DETAILS, DETAILS.swapcase()))
    with BundleReader(path) as reader, pytest.raises(IntegrityError, match=digest_bytes(DETAILS)):
        reader.verify()


def test_a_repacked_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    with tarfile.open(bundle) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    path = tmp_path / "repacked.rsq"
    with tarfile.open(path, "w") as archive:
        for name in (INDEX_NAME, "version.json", "blobs"):
            archive.add(tmp_path / "unpacked" / name, arcname=name)
    with pytest.raises(BadInput, match="rsq-server export"):
        BundleReader(path)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE]
)
@pytest.mark.parametrize("name", [INDEX_NAME, "version.json", "blobs/sha256/"])
def test_a_member_of_another_kind_is_refused(
    bundle: Path, tmp_path: Path, name: str, kind: bytes
) -> None:
    good = bundle.read_bytes()
    at = good.index(name.encode())
    header = bytearray(good[at : at + 512])
    header[156:157] = kind
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\x00 " % sum(header)
    path = tmp_path / "bad.rsq"
    path.write_bytes(good[:at] + header + good[at + 512 :])
    with tarfile.open(path) as archive:
        archive.next()  # a tar it is
    with pytest.raises(RsqError):
        BundleReader(path)


def test_an_index_that_lies_about_sizes_costs_no_memory(tmp_path: Path) -> None:
    record = encode_version(VERSION)
    huge = BundleIndex(
        Entry(digest_bytes(record), len(record)), (Entry("b" * 64, 1 << 40), Entry("c" * 64, 5))
    )
    path = write_by_hand(
        tmp_path / "huge", encode_index(huge), member("version.json", record), bytes(4096)
    )
    header = tmp_path / "header"
    header.write_bytes(encode_header(INDEX_NAME, 8**11 - 1) + bytes(4096))
    tracemalloc.start()
    for lying in (path, header):
        with pytest.raises(RsqError):
            BundleReader(lying)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 2 * LONGEST


def test_a_large_bundle_is_written_and_verified_in_little_memory(tmp_path: Path) -> None:
    class Zeros(MemoryBlobs):
        """Blobs, and one of zeros that takes no memory."""

        def size(self, digest: str) -> int:
            return size_bytes if digest == zeros else super().size(digest)

        def read(self, digest: str, offset: int, length: int) -> bytes:
            if digest != zeros:
                return super().read(digest, offset, length)
            return bytes(min(length, size_bytes - offset))

    size_bytes = 64 * LONGEST
    zeros = digest_bytes(bytes(size_bytes))
    blobs = Zeros(BLOBS.contents)
    version = replace(VERSION, details_digest=zeros)
    tracemalloc.start()
    write_bundle(tmp_path / "large", version, blobs)
    accept(tmp_path / "large")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 8 * LONGEST


def test_a_version_without_one_of_its_blobs_is_refused(tmp_path: Path) -> None:
    record = encode_version(VERSION)
    index = BundleIndex(Entry(digest_bytes(record), len(record)), ())
    path = write_by_hand(tmp_path / "bare", encode_index(index), member("version.json", record))
    with pytest.raises(NotFound, match=VERSION.artifacts[0].id):
        accept(path)


@pytest.mark.parametrize(
    ("record", "error"),
    [
        (b'{"schema":1}', BadManifest),
        (encode_version(replace(VERSION, model="../etc")), BadInput),
    ],
)
def test_a_record_that_is_none_is_refused(
    tmp_path: Path, record: bytes, error: type[RsqError]
) -> None:
    index = BundleIndex(Entry(digest_bytes(record), len(record)), ())
    path = write_by_hand(tmp_path / "bare", encode_index(index), member("version.json", record))
    with pytest.raises(error):
        accept(path)


def test_a_newer_schema_asks_for_an_upgrade(tmp_path: Path) -> None:
    path = write_by_hand(tmp_path / "newer", b'{"schema":2,"parts":[]}', b"in another form")
    with pytest.raises(BadManifest, match=r"Upgrade rsq\."):
        BundleReader(path)


def test_what_cant_be_read_is_the_environments_fault(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe"):
        with pytest.raises(EnvironmentFault, match="can't be read"):
            BundleReader(path)
