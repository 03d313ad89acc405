"""What only an object store can get wrong: parts, slow links, absent buckets, silent servers."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator

import boto3
import pytest
from faulty_proxy import Fault, run_proxy
from s3_server import CREDENTIALS, REGION, new_bucket

from rsq.digest import digest_bytes
from rsq.errors import BadInput, EnvironmentFault, IntegrityError
from rsq_registry import object_blobs
from rsq_registry.object_blobs import ObjectBlobs

LARGE = os.urandom(12 << 20)  # over two parts and over one range
BUCKET = "faults"


@pytest.fixture
def address(s3: str) -> Iterator[str]:
    new_bucket(s3, BUCKET)
    yield s3
    with_s3 = _client(s3)
    for entry in with_s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        with_s3.delete_object(Bucket=BUCKET, Key=entry["Key"])
    with_s3.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def blobs(address: str) -> ObjectBlobs:
    return ObjectBlobs(f"s3://{BUCKET}/some/prefix")


def _client(address: str):  # type: ignore[no-untyped-def]  # boto3 has no types
    return boto3.client(
        "s3",
        endpoint_url=address,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )


def test_large_blobs_go_up_in_parts_and_come_back_in_ranges(
    blobs: ObjectBlobs, address: str
) -> None:
    digest = blobs.put_bytes(LARGE)
    key = f"some/prefix/sha256/{digest[:2]}/{digest}"
    tag = _client(address).head_object(Bucket=BUCKET, Key=key)["ETag"]
    assert tag.strip('"').endswith("-3")  # parts
    with blobs.open(digest) as file:
        assert file.read() == LARGE
    blobs.verify(digest)
    boundary = object_blobs.RANGE_BYTES
    assert blobs.read(digest, boundary - 3, 7) == LARGE[boundary - 3 : boundary + 4]


def test_large_bytes_of_another_digest_leave_no_parts(blobs: ObjectBlobs, address: str) -> None:
    with pytest.raises(IntegrityError):
        blobs.put_bytes(LARGE, expected=digest_bytes(b"other"))
    assert list(blobs.digests()) == []
    assert "Uploads" not in _client(address).list_multipart_uploads(Bucket=BUCKET)


def test_a_damaged_object_is_found(blobs: ObjectBlobs, address: str) -> None:
    digest = blobs.put_bytes(LARGE)
    key = f"some/prefix/sha256/{digest[:2]}/{digest}"
    _client(address).put_object(Bucket=BUCKET, Key=key, Body=LARGE[:-1] + b"?")
    with pytest.raises(IntegrityError, match="damaged"):
        blobs.verify(digest)


def test_a_slow_link_may_take_longer_than_one_requests_time(
    blobs: ObjectBlobs, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = LARGE[: 1 << 20]
    digest = blobs.put_bytes(data)
    monkeypatch.setattr(object_blobs, "TIMEOUT_SECONDS", 1)
    monkeypatch.setattr(object_blobs, "RANGE_BYTES", 64 << 10)
    with run_proxy(
        address.removeprefix("http://"), lambda number: Fault(bytes_per_second=512 << 10)
    ) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{proxy.address}")
        started = time.monotonic()
        ObjectBlobs(f"s3://{BUCKET}/some/prefix").verify(digest)
        assert time.monotonic() - started > 1


def test_a_silent_server_is_given_up(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_blobs, "TIMEOUT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        blobs = ObjectBlobs(f"s3://{BUCKET}")
        started = time.monotonic()
        with pytest.raises(EnvironmentFault, match="can't be used"):
            blobs.has(digest_bytes(b"x"))
        with pytest.raises(EnvironmentFault, match="can't be stored"):
            blobs.put_bytes(b"x")
    assert time.monotonic() - started < 20


def test_an_absent_bucket_is_the_environments_fault_in_one_line(address: str) -> None:
    blobs = ObjectBlobs("s3://absent-bucket/prefix")
    with pytest.raises(EnvironmentFault, match="A blob can't be stored") as stored:
        blobs.put_bytes(b"x")
    with pytest.raises(EnvironmentFault, match="bucket does not exist") as listed:
        list(blobs.digests())
    for message in (stored.value.message, listed.value.message):
        assert "\n" not in message
        assert "<" not in message


def test_no_room_for_temporary_files_is_the_environments_fault(
    blobs: ObjectBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = blobs.put_bytes(b"x")
    monkeypatch.setattr(tempfile, "tempdir", "/proc/absent")
    with pytest.raises(EnvironmentFault, match="No such file"):
        blobs.put_bytes(b"x")
    with pytest.raises(EnvironmentFault, match="No such file"):
        blobs.open(digest)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(EnvironmentFault, match=r"rsq-server\[s3\]"):
        ObjectBlobs("s3://bucket")


@pytest.mark.parametrize("url", ["", "/folder", "s3://", "s4://bucket"])
def test_a_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="s3://bucket/prefix"):
        ObjectBlobs(url)
