"""rsq_server.remote: a server elsewhere behind the methods of a catalogue and of blobs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from unit.registry.samples import make_draft

from rsq.chunks import MESSAGE_BYTES
from rsq.digest import digest_bytes
from rsq.errors import BadInput, EnvironmentFault, IntegrityError
from rsq.manifest import artifact_id
from rsq.records import VersionRow
from rsq.rpc.publishing import PublishingClient
from rsq.version_record import decode_version
from rsq_registry.blobs import BlobStore
from rsq_registry.drafts import VersionDraft, draft_from_record
from rsq_server.remote import RemoteRegistry, describe_draft

DATA = bytes(range(256)) * 3000  # three messages


class FakeClient:
    """A server in memory. `here` are its blobs."""

    def __init__(self) -> None:
        self.here: dict[str, bytes] = {}
        self.questions: list[set[str]] = []
        self.pieces: list[int] = []
        self.records: list[tuple[bytes, str | None]] = []
        self.begin_at = 0

    def find_missing(self, digests: Collection[str]) -> set[str]:
        self.questions.append(set(digests))
        return set(digests) - self.here.keys()

    def upload(
        self,
        digest: str,
        size_bytes: int,
        read_from: Callable[[int], Iterator[bytes]],
        *,
        on_bytes: Callable[[int], None],
    ) -> None:
        pieces = list(read_from(self.begin_at))
        self.pieces += map(len, pieces)
        self.here[digest] = DATA[: self.begin_at] + b"".join(pieces)
        on_bytes(size_bytes)

    def add_version(self, record: bytes, *, alias: str | None) -> VersionRow:
        self.records.append((record, alias))
        return replace(decode_version(record), version=5)


@pytest.fixture
def fake() -> FakeClient:
    return FakeClient()


@pytest.fixture
def draft(tmp_path: Path) -> VersionDraft:
    return make_draft(BlobStore(tmp_path / "blobs"))


def _remote(fake: FakeClient, **fields: Any) -> RemoteRegistry:
    return RemoteRegistry(cast(PublishingClient, fake), **fields)


@pytest.mark.parametrize("begin_at", [0, 1, MESSAGE_BYTES, len(DATA)])
@pytest.mark.parametrize("kind", ["file", "bytes"])
def test_what_is_missing_goes_over_in_messages(
    fake: FakeClient, tmp_path: Path, kind: str, begin_at: int
) -> None:
    fake.begin_at = begin_at
    (tmp_path / "file").write_bytes(DATA)
    moved: list[int] = []
    remote = _remote(fake, on_bytes=moved.append)
    put = remote.put_bytes(DATA) if kind == "bytes" else remote.put_file(tmp_path / "file")
    assert fake.here == {put: DATA}
    assert put == digest_bytes(DATA)
    assert max(fake.pieces, default=0) <= MESSAGE_BYTES
    assert moved == [len(DATA)]


def test_what_is_there_does_not_go_over(fake: FakeClient, tmp_path: Path) -> None:
    fake.here = {digest_bytes(DATA): DATA}
    remote = _remote(fake)
    remote.lease([digest_bytes(DATA), digest_bytes(b"")], seconds=1)
    assert remote.has(digest_bytes(DATA))
    assert not remote.has(digest_bytes(b""))
    remote.put_bytes(DATA)
    assert fake.pieces == []
    assert len(fake.questions) == 1  # one question about both


def test_nothing_goes_over_twice(fake: FakeClient) -> None:
    remote = _remote(fake)
    for _ in range(2):
        remote.put_bytes(DATA)
    assert sum(fake.pieces) == len(DATA)


def test_bytes_of_another_digest_are_refused(fake: FakeClient) -> None:
    with pytest.raises(IntegrityError, match="announced"):
        _remote(fake).put_bytes(DATA, expected="a" * 64)
    assert fake.here == {}


def test_a_file_that_is_not_there_is_named(fake: FakeClient, tmp_path: Path) -> None:
    for expected in (None, "a" * 64):
        with pytest.raises(EnvironmentFault, match="missing can't be read"):
            _remote(fake).put_file(tmp_path / "missing", expected=expected)


def test_a_version_is_sent_after_its_manifests(fake: FakeClient, draft: VersionDraft) -> None:
    row = _remote(fake).add_version(replace(draft, alias="staging"))
    assert row.version == 5
    assert set(fake.here) == {artifact_id(data) for data in draft.artifacts}
    [(record, alias)] = fake.records
    assert alias == "staging"
    manifests = {artifact_id(data): data for data in draft.artifacts}
    assert draft_from_record(decode_version(record), manifests, by=draft.by) == draft


def test_a_record_of_an_artifact_that_the_draft_lacks_is_refused(draft: VersionDraft) -> None:
    with pytest.raises(BadInput):
        describe_draft(replace(draft, artifacts=draft.artifacts[1:]))
