"""Versions on their way out of a registry and into another: the same artifacts, the same ids."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rsq.errors import BadInput, Exhausted, IntegrityError
from rsq.manifest import Tower
from rsq.records import PUBLISHER, Profile, VersionRow
from rsq.updates.metadata_files import MetadataFolder, collect, encode_document
from rsq.version_files import VersionSource, needed_digests
from rsq_registry.drafts import MAX_PROFILES, check_draft, draft_from_record
from rsq_registry.leases import PUBLISHING_SECONDS
from rsq_server.app import Stores


@dataclass(frozen=True)
class ImportedVersion:
    """`is_new` is False where the registry had a version with the very same artifacts."""

    version: VersionRow
    is_new: bool
    stored_bytes: int
    reused_bytes: int


def prepare_export(
    version: VersionRow, *, variants: Collection[str] = (), tower: Tower | None = None
) -> VersionRow:
    """The version as it travels: cut down to these variants, or all for none, and to this tower, or
    both. What was recorded of other artifacts stays behind, and so does the report's data, which
    shows all of them.

    Of each artifact the newest profiles go along, as many as a registry takes. Raises BadInput for
    a deleted version, an unknown variant, or where no artifact is left.
    """
    name = f"{version.model}:{version.version}"
    if version.deleted_at is not None:
        raise BadInput(f"{name} was deleted, so its files may be gone. Export another version.")
    there = list(dict.fromkeys(row.variant for row in version.artifacts))
    for variant in variants:
        if variant not in there:
            raise BadInput(f"{name} has no variant {variant[:40]!r}; it has {', '.join(there)}.")
    kept = [
        row
        for row in version.artifacts
        if row.variant in (variants or there) and row.tower == (tower or row.tower)
    ]
    if not kept:
        raise BadInput(f"{name} has no {tower} tower of {', '.join(variants or there)}.")
    ids = {row.id for row in kept}
    limit = MAX_PROFILES // len(kept)
    return replace(
        version,
        artifacts=tuple(replace(row, profiles=_newest(row.profiles, limit)) for row in kept),
        pairs=tuple(pair for pair in version.pairs if {pair.vision_id, pair.text_id} <= ids),
        details_digest=version.details_digest if len(kept) == len(version.artifacts) else None,
    )


def carried_metadata(folder: Path) -> bytes | None:
    """The signed metadata that goes along with a bundle; None where nothing is signed here."""
    files = collect(MetadataFolder(folder / "metadata"))
    return encode_document(files) if files else None


def import_version(
    source: VersionSource,
    stores: Stores,
    *,
    name: str | None = None,
    alias: str | None = None,
    by: str,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> ImportedVersion:
    """Adds the source's version under the model's next number, in this order:

    1. Check that its record hangs together. 2. Lease its blobs, so that none is collected
    meanwhile. 3. Store those that aren't here, each verified. 4. Add the version, unless one with
    the very same artifacts is there; the alias, if any, moves to that one. `name` renames the
    model; `advance` hears of bytes done and in all. What was stored before a failure is reused by
    the next attempt.

    Raises NotFound for a blob that is missing, IntegrityError for a damaged one, Exhausted for a
    full disk, and what `check_draft` raises.
    """
    # 1. record
    version = source.version()
    manifests = {row.id: source.manifest(row.id) for row in version.artifacts}
    draft = draft_from_record(version, manifests, alias=alias, by=by)
    draft = replace(draft, model=name or version.model)
    check_draft(draft)
    # 2. lease
    sizes = {
        digest: source.size(digest) for digest in needed_digests(version, manifests.__getitem__)
    }
    stores.catalogue.lease(sizes, seconds=PUBLISHING_SECONDS)
    # 3. blobs
    stored = reused = 0
    for digest, size_bytes in sizes.items():
        if stores.blobs.has(digest):
            reused += size_bytes
        else:
            _store(source, stores, digest)
            stored += size_bytes
        advance(stored + reused, sum(sizes.values()))
    # 4. version
    same = stores.catalogue.find_same(draft.model, manifests.keys())
    if same is None:
        return ImportedVersion(stores.catalogue.add_version(draft), True, stored, reused)
    if alias is not None and alias not in same.aliases:
        stores.catalogue.set_alias(draft.model, alias, same.version, by=by)
        same = stores.catalogue.version(draft.model, same.version)
    return ImportedVersion(same, False, stored, reused)


def _store(source: VersionSource, stores: Stores, digest: str) -> None:
    content: Iterator[bytes] = source.read_blob(digest, 0, source.size(digest))
    try:
        stores.blobs.put_pieces(content, expected=digest)
    except IntegrityError as e:
        raise IntegrityError(f"{source.target} is damaged in blob {digest}. Copy it anew.") from e
    except Exhausted as e:
        raise Exhausted(
            f"The registry's disk is full at blob {digest}. Free some space and import again; what "
            "was stored is kept."
        ) from e


def _newest(profiles: tuple[Profile, ...], limit: int) -> tuple[Profile, ...]:
    """At most `limit`; the oldest of the nodes' go first, since the publisher's are few."""
    of_nodes = [profile for profile in profiles if profile.source != PUBLISHER]
    dropped = set(of_nodes[: max(0, len(profiles) - limit)])
    return tuple(profile for profile in profiles if profile not in dropped)
