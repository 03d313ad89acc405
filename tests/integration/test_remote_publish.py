"""Publishing to a server on another machine: only what it lacks goes over, and nothing twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import pytest
from faulty_proxy import Fault, run_proxy
from unit.registry.samples import make_draft

from rsq.digest import digest_bytes
from rsq.errors import (
    BadInput,
    BadManifest,
    DeadlineExceeded,
    IntegrityError,
    NotFound,
    Unreachable,
)
from rsq.manifest import decode_manifest
from rsq.rpc.channel import open_channel
from rsq.rpc.publishing import MESSAGE_BYTES, PublishingClient
from rsq.v1 import registry_pb2 as pb
from rsq.v1.registry_pb2_grpc import PublishingStub
from rsq.version_record import encode_version
from rsq_registry.blobs import BlobStore
from rsq_registry.drafts import VersionDraft
from rsq_registry.verification import verify
from rsq_server.app import Stores, open_stores, run_server
from rsq_server.config import ServerConfig
from rsq_server.remote import RemoteRegistry, describe_draft

LARGE = bytes(range(256)) * 160_000  # 41 MB: three calls


@dataclass
class World:
    stores: Stores
    address: str
    local: BlobStore  # the publisher's files
    folder: Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    config = ServerConfig(tmp_path / "server", listen="127.0.0.1:0")
    with ExitStack() as stack:
        stores = stack.enter_context(open_stores(config))
        server = stack.enter_context(run_server(stores, config))
        yield World(stores, server.address, BlobStore(tmp_path / "local"), tmp_path)


def _publish(world: World, draft: VersionDraft, address: str | None = None) -> tuple[int, int]:
    """(version's number, bytes that went over)."""
    moved: list[int] = []
    with PublishingClient(address or world.address) as client:
        remote = RemoteRegistry(client, on_bytes=moved.append)
        files = {e.sha256 for data in draft.artifacts for e in decode_manifest(data).files}
        remote.lease(files, seconds=1)
        for digest in files:
            path = world.folder / "local" / "sha256" / digest[:2] / digest
            if not remote.has(digest):
                remote.put_file(path, expected=digest)
        return remote.add_version(draft).version, sum(moved)


def test_a_version_arrives_with_all_its_records(world: World) -> None:
    details = b"what the report shows"
    draft = replace(make_draft(world.local), alias="production", by="ignored")
    world.stores.blobs.put_bytes(details)
    draft = replace(draft, details_digest=digest_bytes(details))
    number, moved = _publish(world, draft)
    row = world.stores.catalogue.version("demo", number)
    expected = replace(
        describe_draft(draft), version=1, created_at=row.created_at, aliases=("production",)
    )
    assert row == expected
    assert moved > 0
    assert verify(world.stores.catalogue, world.stores.blobs).is_clean
    [event] = world.stores.catalogue.alias_history("demo")
    assert event.by.startswith("rpc ")


def test_only_what_the_server_lacks_goes_over(world: World) -> None:
    first = make_draft(world.local, content="1")
    assert _publish(world, first) > (1, 0)
    # The same again: nothing moves, and no second version is made.
    assert _publish(world, first) == (1, 0)
    second = make_draft(world.local, content="2")
    number, moved = _publish(world, second)
    shared = {e.sha256 for d in first.artifacts for e in decode_manifest(d).files}
    new = {e.sha256: e.size_bytes for d in second.artifacts for e in decode_manifest(d).files}
    sizes = sum(size for digest, size in new.items() if digest not in shared)
    assert (number, moved) == (2, sizes + sum(len(data) for data in second.artifacts))


@pytest.mark.parametrize("fault", ["cut", "reset"])
def test_an_upload_over_a_bad_link_goes_on_where_it_was(world: World, fault: str) -> None:
    digest = digest_bytes(LARGE)
    seen: list[int] = []

    def read_from(offset: int) -> Iterator[bytes]:
        seen.append(offset)
        for start in range(offset, len(LARGE), MESSAGE_BYTES):
            yield LARGE[start : start + MESSAGE_BYTES]

    # The proxy counts what the server sends, which here is little: a few answers, then a cut.
    faults = {"cut": Fault(cut_at=400), "reset": Fault(reset_at=400)}
    with (
        run_proxy(world.address, lambda number: faults[fault]) as proxy,
        PublishingClient(proxy.address) as client,
    ):
        client.upload(digest, len(LARGE), read_from, patience_seconds=30)
        assert proxy.connections > 1
    assert world.stores.blobs.read(digest, 0, len(LARGE)) == LARGE
    assert seen[0] == 0
    assert max(seen) > 0


def test_a_server_that_is_not_there_is_named() -> None:
    with PublishingClient("127.0.0.1:9") as client, pytest.raises(Unreachable, match=":9"):
        client.find_missing(["a" * 64])
    with (
        PublishingClient("127.0.0.1:9") as client,
        pytest.raises((Unreachable, DeadlineExceeded)),
    ):
        client.upload("a" * 64, 1, lambda offset: iter([b"x"]), patience_seconds=0.1)


def test_other_bytes_than_announced_are_refused(world: World) -> None:
    with PublishingClient(world.address) as client:
        digest = digest_bytes(b"right")
        with pytest.raises(IntegrityError):
            client.upload(digest, 5, lambda offset: iter([b"wrong"[offset:]]))
        assert not world.stores.blobs.has(digest)
        client.upload(digest, 5, lambda offset: iter([b"right"[offset:]]))
    assert world.stores.blobs.has(digest)


def test_a_version_whose_files_were_not_sent_is_refused(world: World) -> None:
    draft = make_draft(world.local)
    record = encode_version(describe_draft(draft))
    with PublishingClient(world.address) as client:
        with pytest.raises(NotFound):
            client.add_version(record, alias=None)
        remote = RemoteRegistry(client)
        for data in draft.artifacts:
            remote.put_bytes(data)
        with pytest.raises(NotFound, match="not stored"):
            client.add_version(record, alias=None)
    assert world.stores.catalogue.models() == []


@pytest.mark.parametrize(
    ("record", "error"),
    [(b"", BadManifest), (b"{}", BadManifest), (b"[" * 10_000, BadManifest)],
)
def test_a_record_that_is_none_is_refused(
    world: World, record: bytes, error: type[Exception]
) -> None:
    with PublishingClient(world.address) as client, pytest.raises(error):
        client.add_version(record, alias=None)


def test_two_publishers_at_once_get_two_numbers(world: World) -> None:
    drafts = [make_draft(world.local, content=str(n)) for n in range(4)]
    numbers: list[int] = []
    threads = [
        threading.Thread(target=lambda draft=draft: numbers.append(_publish(world, draft)[0]))
        for draft in drafts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(numbers) == [1, 2, 3, 4]


def test_an_upload_without_a_first_message_is_refused(world: World) -> None:
    with open_channel(world.address) as channel:
        stub = PublishingStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.WriteBlob(iter([]), timeout=20)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError) as refused:
            stub.WriteBlob(iter([pb.WriteBlobRequest(digest="../x", size_bytes=1)]), timeout=20)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_record_of_an_artifact_that_the_draft_lacks_is_refused(world: World) -> None:
    draft = make_draft(world.local)
    with pytest.raises(BadInput):
        describe_draft(replace(draft, artifacts=draft.artifacts[1:]))
