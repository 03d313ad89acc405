"""rsq_server.bundles: what travels of a version, and what an import does with what arrives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from version_samples import DETAILS, MemoryBlobs, make_profile, make_stored_version

from rsq.digest import digest_bytes
from rsq.errors import BadInput, Exhausted, IntegrityError, NotFound, SpaceMismatch
from rsq.records import PUBLISHER, VersionRow
from rsq.version_record import decode_version, encode_version
from rsq_registry.blobs import BlobStore
from rsq_registry.drafts import MAX_PROFILES, check_draft, draft_from_record
from rsq_server.app import Stores, open_stores
from rsq_server.bundles import import_version, prepare_export
from rsq_server.config import ServerConfig


@dataclass
class MemorySource:
    """A rsq.version_files.VersionSource whose bytes tests may change."""

    row: VersionRow
    blobs: MemoryBlobs
    target: str = "memory"

    def version(self) -> VersionRow:
        return self.row

    def manifest(self, artifact_id: str) -> bytes:
        return self.blobs.contents[artifact_id]

    def size(self, digest: str) -> int:
        return self.blobs.size(digest)

    def read_blob(self, digest: str, offset: int, length: int) -> Iterator[bytes]:
        yield self.blobs.read(digest, offset, length)


class FullBlobs(BlobStore):
    """A store on a disk with no room."""

    def put_pieces(self, pieces: Iterable[bytes], *, expected: str | None = None) -> str:
        raise Exhausted("A blob can't be stored: the disk is full.")


@pytest.fixture
def source() -> MemorySource:
    blobs = MemoryBlobs()
    return MemorySource(make_stored_version(blobs), blobs)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    with open_stores(ServerConfig(tmp_path / "server")) as stores:
        yield stores


def records(version: VersionRow) -> VersionRow:
    """What does not depend on the registry."""
    return replace(decode_version(encode_version(version)), model="", version=1, created_at="")


def test_a_whole_version_travels_as_it_is(source: MemorySource) -> None:
    assert prepare_export(source.row) == source.row


@pytest.mark.parametrize(
    ("variants", "tower", "kept"),
    [
        (["int8"], None, ["vision int8", "text int8"]),
        (["int8", "fp32"], "text", ["text fp32", "text int8"]),
        ([], "vision", ["vision fp32", "vision int8"]),
        (["int8"], "text", ["text int8"]),
    ],
)
def test_a_part_takes_only_what_was_recorded_of_it(
    source: MemorySource, variants: list[str], tower: str | None, kept: list[str]
) -> None:
    part = prepare_export(source.row, variants=variants, tower=tower)  # type: ignore[arg-type]
    ids = {row.id for row in part.artifacts}
    assert [f"{row.tower} {row.variant}" for row in part.artifacts] == kept
    assert all(row in source.row.artifacts for row in part.artifacts)
    assert part.pairs == tuple(p for p in source.row.pairs if {p.vision_id, p.text_id} <= ids)
    assert part.details_digest is None
    assert part.space_id == source.row.space_id
    check_draft(draft_from_record(part, source.blobs.contents, by="tests"))


def test_an_unknown_variant_is_refused_with_those_there_are(source: MemorySource) -> None:
    with pytest.raises(BadInput, match=r"tiny:3 has no variant 'int4'; it has fp32, int8\."):
        prepare_export(source.row, variants=["int8", "int4"])


def test_a_tower_that_isnt_there_is_refused(source: MemorySource) -> None:
    part = prepare_export(source.row, tower="text")
    with pytest.raises(BadInput, match="no vision tower of fp32, int8"):
        prepare_export(part, tower="vision")


def test_a_deleted_version_is_refused(source: MemorySource) -> None:
    with pytest.raises(BadInput, match="was deleted"):
        prepare_export(replace(source.row, deleted_at="2026-01-01T00:00:00Z"))


def test_the_oldest_profiles_of_nodes_stay_behind_where_a_registry_takes_no_more(
    source: MemorySource,
) -> None:
    first = source.row.artifacts[0]
    many = tuple(
        make_profile(first.id, source=f"node:{n}", batch=n + 1) for n in range(MAX_PROFILES)
    )
    row = replace(first, profiles=(*many, make_profile(first.id)))
    part = prepare_export(replace(source.row, artifacts=(row, *source.row.artifacts[1:])))
    kept = part.artifacts[0].profiles
    assert kept[-1].source == PUBLISHER
    assert kept[:-1] == many[-len(kept) + 1 :]
    check_draft(draft_from_record(part, source.blobs.contents, by="tests"))


def test_an_import_adds_the_version_with_all_its_records(
    source: MemorySource, stores: Stores
) -> None:
    seen: list[tuple[int, int]] = []
    done = import_version(
        source, stores, by="tests", advance=lambda done, total: seen.append((done, total))
    )
    assert (done.is_new, done.version.version, done.reused_bytes) == (True, 1, 0)
    assert records(done.version) == records(source.row)
    assert done.stored_bytes == sum(map(len, source.blobs.contents.values()))
    assert seen[-1] == (done.stored_bytes, done.stored_bytes)
    assert set(stores.blobs.digests()) == set(source.blobs.contents)
    for digest in stores.blobs.digests():
        stores.blobs.verify(digest)


def test_the_same_artifacts_are_added_once_and_the_alias_still_moves(
    source: MemorySource, stores: Stores
) -> None:
    import_version(source, stores, by="tests")
    second = import_version(source, stores, by="tests", alias="production")
    third = import_version(source, stores, by="tests", alias="production")
    assert (second.is_new, second.stored_bytes) == (False, 0)
    assert second.version.aliases == third.version.aliases == ("production",)
    assert [row.versions for row in stores.catalogue.models()] == [1]
    assert len(stores.catalogue.alias_history("tiny")) == 1


def test_a_part_is_a_version_of_its_own_and_a_renamed_one_a_model_of_its_own(
    source: MemorySource, stores: Stores
) -> None:
    import_version(source, stores, by="tests")
    part = replace(source, row=prepare_export(source.row, tower="vision"))
    assert import_version(part, stores, by="tests").version.version == 2
    renamed = import_version(source, stores, by="tests", name="other")
    assert (renamed.version.model, renamed.version.version) == ("other", 1)
    assert renamed.stored_bytes == 0


def test_a_damaged_blob_is_named_and_leaves_no_version(
    source: MemorySource, stores: Stores
) -> None:
    digest = digest_bytes(DETAILS)
    source.blobs.contents[digest] = DETAILS.swapcase()
    with pytest.raises(IntegrityError, match=f"memory is damaged in blob {digest}"):
        import_version(source, stores, by="tests")
    assert stores.catalogue.models() == []
    assert not stores.blobs.has(digest)


def test_a_full_disk_is_said_to_be_the_registrys(
    source: MemorySource, stores: Stores, tmp_path: Path
) -> None:
    full = replace(stores, blobs=FullBlobs(tmp_path / "full"))
    with pytest.raises(Exhausted, match=r"registry's disk is full.*import again"):
        import_version(source, full, by="tests")
    assert stores.catalogue.models() == []


def test_a_missing_blob_stops_before_anything_is_stored(
    source: MemorySource, stores: Stores
) -> None:
    del source.blobs.contents[digest_bytes(DETAILS)]
    with pytest.raises(NotFound):
        import_version(source, stores, by="tests")
    assert list(stores.blobs.digests()) == []


def test_a_record_that_does_not_hang_together_stops_before_anything_is_stored(
    source: MemorySource, stores: Stores
) -> None:
    lying = replace(source, row=replace(source.row, space_id="6" * 64))
    with pytest.raises(SpaceMismatch):
        import_version(lying, stores, by="tests")
    assert list(stores.blobs.digests()) == []
