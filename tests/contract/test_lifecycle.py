"""Deprecation, deletion, leases, garbage collection and verification, whatever stores are below."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from unit.registry.samples import make_draft

from rsq.digest import digest_bytes
from rsq.errors import BadInput, NotFound
from rsq.manifest import artifact_id, decode_manifest
from rsq_registry.blobs import BlobStore
from rsq_registry.catalogue import Catalogue
from rsq_registry.drafts import VersionDraft
from rsq_registry.garbage import collect
from rsq_registry.verification import verify
from rsq_server.alias_history import in_force

MARCH = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.at = MARCH

    def __call__(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalogue(engine: Engine, blobs: BlobStore, clock: Clock) -> Catalogue:
    return Catalogue(engine, blobs, now=clock)


def _files(draft: VersionDraft) -> set[str]:
    return {entry.sha256 for data in draft.artifacts for entry in decode_manifest(data).files}


def _manifests(draft: VersionDraft) -> set[str]:
    return {artifact_id(data) for data in draft.artifacts}


def test_a_deprecated_version_says_why_and_can_be_taken_back(
    catalogue: Catalogue, blobs: BlobStore
) -> None:
    catalogue.add_version(make_draft(blobs))
    catalogue.deprecate("demo", 1, "wrong mean and std")
    assert catalogue.resolve_reference("demo").deprecated == "wrong mean and std"
    catalogue.deprecate("demo", 1, None)
    assert catalogue.version("demo", 1).deprecated is None
    with pytest.raises(NotFound):
        catalogue.deprecate("demo", 2, "no such version")
    with pytest.raises(BadInput):
        catalogue.deprecate("demo", 1, "two\nlines")


def test_a_deleted_version_stays_on_record_and_is_no_longer_the_newest(
    catalogue: Catalogue, blobs: BlobStore
) -> None:
    first = catalogue.add_version(make_draft(blobs, content="1"))
    second = catalogue.add_version(make_draft(blobs, content="2"))
    catalogue.delete_version("demo", 2)
    kept = catalogue.version("demo", 2)
    assert kept.deleted_at is not None
    assert replace(kept, deleted_at=None) == second
    assert catalogue.resolve_reference("demo") == first
    assert [(row.versions, row.newest) for row in catalogue.models()] == [(1, 1)]
    assert catalogue.add_version(make_draft(blobs, content="3")).version == 3
    with pytest.raises(NotFound, match="was deleted on 2026-03-01"):
        catalogue.delete_version("demo", 2)
    with pytest.raises(NotFound, match="was deleted"):
        catalogue.set_alias("demo", "production", 2, "ops")


def test_a_model_whose_versions_are_all_deleted_says_so(
    catalogue: Catalogue, blobs: BlobStore
) -> None:
    catalogue.add_version(make_draft(blobs))
    catalogue.delete_version("demo", 1)
    with pytest.raises(NotFound, match="All versions"):
        catalogue.resolve_reference("demo")
    assert [(row.versions, row.newest) for row in catalogue.models()] == [(0, 0)]


def test_a_version_with_aliases_is_protected(catalogue: Catalogue, blobs: BlobStore) -> None:
    catalogue.add_version(replace(make_draft(blobs), alias="production"))
    catalogue.set_alias("demo", "staging", 1, "ops")
    with pytest.raises(BadInput, match="production, staging"):
        catalogue.delete_version("demo", 1)
    catalogue.set_alias("demo", "production", None, "ops")
    catalogue.set_alias("demo", "staging", None, "ops")
    catalogue.delete_version("demo", 1)


def test_the_registry_says_what_an_alias_meant_at_any_moment(
    catalogue: Catalogue, blobs: BlobStore, clock: Clock
) -> None:
    catalogue.add_version(make_draft(blobs, content="1"))
    catalogue.add_version(make_draft(blobs, content="2"))
    moments = [clock.at]
    for number in (1, 2, None):
        catalogue.set_alias("demo", "production", number, "ops")
        moments.append(clock.at)
    history = catalogue.alias_history("demo")
    then = [{e.alias: e.version for e in in_force(history, moment)} for moment in moments]
    meant = [aliases.get("production") for aliases in then]
    assert meant == [None, 1, 2, None]
    assert "staging" not in then[-1]


def test_collection_removes_what_only_deleted_versions_had(
    catalogue: Catalogue, blobs: BlobStore
) -> None:
    first, second = make_draft(blobs, content="1"), make_draft(blobs, content="2")
    for draft in (first, second):
        catalogue.add_version(draft)
    orphan = blobs.put_bytes(b"nobody names me")
    catalogue.delete_version("demo", 1)
    planned = collect(catalogue, blobs, dry_run=True)
    assert blobs.has(orphan)
    done = collect(catalogue, blobs, dry_run=False)
    assert planned == done
    assert {blob.digest for blob in done.removed} == (_files(first) - _files(second)) | {orphan}
    reasons = {blob.digest: blob.reason for blob in done.removed}
    assert reasons.pop(orphan) == "no version names it"
    assert set(reasons.values()) == {"of demo:1, which was deleted"}
    assert done.freed_bytes == sum(blob.size_bytes for blob in done.removed) > 0
    left = set(blobs.digests())
    assert left == _files(second) | _manifests(first) | _manifests(second)
    assert verify(catalogue, blobs).is_clean
    assert collect(catalogue, blobs, dry_run=False).removed == ()


def test_a_leased_blob_is_kept_until_the_lease_ends(
    catalogue: Catalogue, blobs: BlobStore, clock: Clock
) -> None:
    digest = blobs.put_bytes(b"being published")
    catalogue.lease([digest], seconds=3600)
    found = collect(catalogue, blobs, dry_run=False)
    assert (found.removed, [lease.digest for lease in found.leased]) == ((), [digest])
    catalogue.lease([digest], seconds=1)  # a shorter one takes nothing away
    clock.at += timedelta(minutes=30)
    assert collect(catalogue, blobs, dry_run=False).removed == ()
    clock.at += timedelta(hours=1)
    assert [blob.digest for blob in collect(catalogue, blobs, dry_run=False).removed] == [digest]
    assert catalogue.leased_digests() == {}


def test_a_lease_taken_while_blobs_are_removed_comes_before_or_after(
    catalogue: Catalogue, blobs: BlobStore
) -> None:
    """A publisher that leased and then saw the blob never loses it."""
    digest = blobs.put_bytes(b"old and new")
    inside, leased = threading.Event(), threading.Event()

    def publish() -> None:
        inside.wait(20)
        catalogue.lease([digest], seconds=3600)
        leased.set()

    def remove(found: str) -> None:
        inside.set()
        assert not leased.wait(0.3)  # leasing waits for the collection
        blobs.delete(found)

    thread = threading.Thread(target=publish)
    thread.start()
    assert catalogue.collect([digest], remove) == [digest]
    thread.join(20)
    assert leased.is_set()
    assert not blobs.has(digest)  # so the publisher stores it again
    blobs.put_bytes(b"old and new")
    assert collect(catalogue, blobs, dry_run=False).removed == ()


def test_a_malformed_digest_is_never_leased(catalogue: Catalogue) -> None:
    with pytest.raises(BadInput):
        catalogue.lease(["../../etc/passwd"], seconds=1)


def test_verification_finds_and_repairs_what_is_missing_or_damaged(
    catalogue: Catalogue, blobs: BlobStore, tmp_path: Path
) -> None:
    draft = make_draft(blobs)
    catalogue.add_version(draft)
    elsewhere = BlobStore(tmp_path / "elsewhere")
    for digest in blobs.digests():
        elsewhere.put_bytes(blobs.read(digest, 0, blobs.size(digest)))
    missing, damaged, lost = sorted(_files(draft))[:3]
    blobs.delete(missing)
    path = tmp_path / "blobs" / "sha256" / damaged[:2] / damaged
    path.chmod(0o644)
    path.write_bytes(b"other bytes")
    blobs.delete(lost)
    elsewhere.delete(lost)
    found = verify(catalogue, blobs)
    assert {(one.digest, one.fault, one.repaired) for one in found.findings} == {
        (missing, "missing", False),
        (damaged, "damaged", False),
        (lost, "missing", False),
    }
    assert not found.is_clean
    repaired = verify(
        catalogue,
        blobs,
        repair=lambda digest: iter([elsewhere.read(digest, 0, elsewhere.size(digest))]),
    )
    assert {one.digest for one in repaired.findings if one.repaired} == {missing, damaged}
    after = verify(catalogue, blobs)
    assert [one.digest for one in after.findings] == [lost]


def test_a_source_that_lies_repairs_nothing(catalogue: Catalogue, blobs: BlobStore) -> None:
    draft = make_draft(blobs)
    catalogue.add_version(draft)
    digest = min(_files(draft))
    blobs.delete(digest)
    found = verify(catalogue, blobs, repair=lambda digest: iter([b"something else"]))
    assert [(one.digest, one.repaired) for one in found.findings] == [(digest, False)]
    assert not blobs.has(digest)
    assert not blobs.has(digest_bytes(b"something else"))


def test_the_same_artifacts_are_found_again_as_a_version(
    catalogue: Catalogue, blobs: BlobStore
) -> None:
    draft = make_draft(blobs)
    row = catalogue.add_version(draft)
    ids = _manifests(draft)
    assert catalogue.find_same("demo", ids) == row
    assert catalogue.find_same("demo", list(ids)[:2]) is None
    assert catalogue.find_same("other", ids) is None
    catalogue.delete_version("demo", 1)
    assert catalogue.find_same("demo", ids) is None
