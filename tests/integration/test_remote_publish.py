"""Publishing to a server on another machine: only what it lacks goes over, and nothing twice."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import pytest
from faulty_proxy import Fault, run_proxy
from unit.registry.samples import make_draft

from rsq.chunks import MESSAGE_BYTES
from rsq.digest import digest_bytes
from rsq.errors import (
    BadInput,
    BadManifest,
    IntegrityError,
    NotFound,
    Unreachable,
)
from rsq.manifest import decode_manifest
from rsq.rpc import publishing
from rsq.rpc.channel import open_channel
from rsq.rpc.publishing import PublishingClient
from rsq.v1 import registry_pb2 as pb
from rsq.v1.registry_pb2_grpc import PublishingStub
from rsq.version_record import encode_version
from rsq_registry.blobs import BlobStore
from rsq_registry.drafts import VersionDraft
from rsq_registry.garbage import collect
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


def _pieces_of(data: bytes, seen: list[int]) -> Callable[[int], Iterator[bytes]]:
    def read_from(offset: int) -> Iterator[bytes]:
        seen.append(offset)
        for start in range(offset, len(data), MESSAGE_BYTES):
            yield data[start : start + MESSAGE_BYTES]

    return read_from


@pytest.mark.parametrize(
    "fault", [Fault(cut_at=9_000_000), Fault(reset_at=9_000_000)], ids=["cut", "reset"]
)
def test_an_upload_over_a_bad_link_goes_on_where_it_was(world: World, fault: Fault) -> None:
    seen: list[int] = []
    held: list[int] = []
    with (
        run_proxy(world.address, lambda number: fault, harms_uploads=True) as proxy,
        PublishingClient(proxy.address, patience_seconds=30) as client,
    ):
        client.upload(
            digest_bytes(LARGE), len(LARGE), _pieces_of(LARGE, seen), on_bytes=held.append
        )
        # No connection carries a quarter of the blob, so each went on where another had ended.
        assert proxy.connections > 4
    assert world.stores.blobs.read(digest_bytes(LARGE), 0, len(LARGE)) == LARGE
    assert seen[0] == 0
    assert max(seen) > 0
    assert sum(held) == len(LARGE)


def test_an_upload_leaves_a_link_that_fell_silent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "CALL_SECONDS", 3.0)
    monkeypatch.setattr(publishing, "WRITE_SECONDS", 3.0)
    seen: list[int] = []
    with (
        run_proxy(
            world.address,
            lambda number: Fault(silent_at=3_000_000 if number == 0 else None),
            harms_uploads=True,
        ) as proxy,
        PublishingClient(proxy.address, patience_seconds=30) as client,
    ):
        client.upload(digest_bytes(LARGE), len(LARGE), _pieces_of(LARGE, seen))
    assert world.stores.blobs.has(digest_bytes(LARGE))
    assert seen[0] == 0
    # The next call took another connection, and learned on it what the first had brought.
    assert 0 < seen[1] <= 3_000_000


def test_a_slow_link_needs_no_patience_while_bytes_arrive(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "WRITE_SECONDS", 0.4)
    data = bytes(range(256)) * 64
    calls: list[int] = []

    def trickle(offset: int) -> Iterator[bytes]:
        calls.append(offset)
        for start in range(offset, len(data), 1024):
            time.sleep(0.1)
            yield data[start : start + 1024]

    with PublishingClient(world.address, patience_seconds=0.3) as client:
        client.upload(digest_bytes(data), len(data), trickle)
    assert world.stores.blobs.has(digest_bytes(data))
    assert len(calls) > 3


def test_what_somebody_else_began_wrongly_is_begun_again(world: World) -> None:
    data = b"right" * 1000
    digest = digest_bytes(data)
    with PublishingClient(world.address) as client:
        for poison in (b"wrong", bytes(len(data) + 1)):
            call = [pb.WriteBlobRequest(digest=digest, size_bytes=1 << 20, data=poison)]
            with open_channel(world.address) as channel:
                PublishingStub(channel).WriteBlob(iter(call), timeout=20)
            assert client.find_missing([digest]) == {digest}
            held: list[int] = []
            client.upload(digest, len(data), _pieces_of(data, []), on_bytes=held.append)
            assert sum(held) == len(data)
            assert world.stores.blobs.has(digest)
            world.stores.blobs.delete(digest)


def test_a_server_that_is_not_there_is_named_at_once() -> None:
    begun = time.monotonic()
    with PublishingClient("127.0.0.1:9") as client, pytest.raises(Unreachable, match=":9"):
        client.check_reachable()
    assert time.monotonic() - begun < publishing.PATIENCE_SECONDS / 2


def test_a_server_that_stays_away_is_given_up() -> None:
    with (
        PublishingClient("127.0.0.1:9", patience_seconds=0.1) as client,
        pytest.raises(Unreachable, match=":9"),
    ):
        client.upload("a" * 64, 1, lambda offset: iter([b"x"]))


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


def test_the_same_record_is_one_version_and_new_measurements_are_another(world: World) -> None:
    draft = replace(make_draft(world.local), alias="production")
    assert [_publish(world, draft)[0] for _ in range(3)] == [1, 1, 1]
    # A call that was made again moved no alias a second time.
    assert len(world.stores.catalogue.alias_history("demo")) == 1
    measured = replace(
        draft, profiles=tuple(replace(p, p50_ms=p.p50_ms + 1) for p in draft.profiles)
    )
    assert _publish(world, measured) == (2, 0)


def test_one_record_sent_by_many_calls_at_once_is_one_version(world: World) -> None:
    draft = make_draft(world.local)
    numbers: list[int] = []
    threads = [
        threading.Thread(target=lambda: numbers.append(_publish(world, draft)[0])) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert numbers == [1] * 6


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param(
            [pb.WriteBlobRequest(digest="a" * 64, size_bytes=9, offset=3)], id="offset too far"
        ),
        pytest.param(
            [pb.WriteBlobRequest(digest="a" * 64, size_bytes=3, data=b"more")], id="oversized"
        ),
        pytest.param(
            [pb.WriteBlobRequest(digest="a" * 64, size_bytes=1 << 50)], id="impossible size"
        ),
        pytest.param(
            [
                pb.WriteBlobRequest(digest="a" * 64, size_bytes=1 << 30),
                pb.WriteBlobRequest(data=bytes(MESSAGE_BYTES + 1)),
            ],
            id="message too large",
        ),
        pytest.param(
            [
                pb.WriteBlobRequest(digest="a" * 64, size_bytes=1 << 30),
                *[pb.WriteBlobRequest(data=bytes(MESSAGE_BYTES))] * 65,
            ],
            id="call too large",
        ),
    ],
)
def test_an_upload_that_breaks_the_rules_is_refused(
    world: World, messages: list[pb.WriteBlobRequest]
) -> None:
    with open_channel(world.address) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            PublishingStub(channel).WriteBlob(iter(messages), timeout=20)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not world.stores.blobs.has("a" * 64)


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "../../etc"},
        {"space_id": "../x"},
        {"artifacts": []},
        {"artifacts": [{"id": "../../../etc/passwd"}]},
        {"pairs": [{}]},
        {"dimension": -1},
        {"schema": 99},
        {"licence": 7},
    ],
    ids=str,
)
def test_a_hostile_record_is_refused_and_leaves_nothing(
    world: World, fields: dict[str, object]
) -> None:
    draft = make_draft(world.local)
    record = {**json.loads(encode_version(describe_draft(draft))), **fields}
    with PublishingClient(world.address) as client:
        remote = RemoteRegistry(client)
        for data in draft.artifacts:
            remote.put_bytes(data)
        with pytest.raises((BadInput, BadManifest)):
            client.add_version(json.dumps(record).encode(), alias=None)
    assert world.stores.catalogue.models() == []


def test_a_file_that_is_sent_as_a_manifest_is_refused(world: World) -> None:
    draft = make_draft(world.local)
    record = json.loads(encode_version(describe_draft(draft)))
    with PublishingClient(world.address) as client:
        record["artifacts"][0]["id"] = RemoteRegistry(client).put_bytes(b"no manifest")
        for data in draft.artifacts:
            RemoteRegistry(client).put_bytes(data)
        with pytest.raises(BadManifest):
            client.add_version(json.dumps(record).encode(), alias=None)
    assert world.stores.catalogue.models() == []


def test_collection_spares_what_was_asked_about_or_sent(world: World) -> None:
    blobs = world.stores.blobs
    there, forgotten = blobs.put_bytes(b"there"), blobs.put_bytes(b"nobody asks")
    with PublishingClient(world.address) as client:
        assert client.find_missing([there]) == set()
        sent = digest_bytes(b"sent")
        client.upload(sent, 4, _pieces_of(b"sent", []))
    found = collect(world.stores.catalogue, blobs, dry_run=False)
    assert [blob.digest for blob in found.removed] == [forgotten]
    assert set(blobs.digests()) == {there, sent}


def test_collection_between_files_and_version_does_no_harm(world: World) -> None:
    draft = make_draft(world.local)
    with PublishingClient(world.address) as client:
        remote = RemoteRegistry(client)
        files = {e.sha256 for data in draft.artifacts for e in decode_manifest(data).files}
        remote.lease(files, seconds=1)
        for digest in files:
            remote.put_file(world.folder / "local" / "sha256" / digest[:2] / digest)
        found = collect(world.stores.catalogue, world.stores.blobs, dry_run=False)
        assert found.removed == ()
        assert remote.add_version(draft).version == 1
