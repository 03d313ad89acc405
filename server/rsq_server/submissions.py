"""Versions that publishers on other machines describe, once their blobs are here."""

from __future__ import annotations

import threading
from dataclasses import replace

from rsq.errors import BadInput
from rsq.manifest import MAX_MANIFEST_BYTES
from rsq.records import VersionRow
from rsq.version_record import decode_version
from rsq_registry.blobs import Blobs
from rsq_registry.catalogue import Catalogue
from rsq_registry.drafts import draft_from_record


class Submissions:
    """Adds each version once: a record that came before, since its reply was lost on the way, is
    the version that it made. Records that differ, if only in what was measured, are two versions,
    as they are when they are published on this machine.
    """

    def __init__(self, catalogue: Catalogue, blobs: Blobs) -> None:
        self._catalogue = catalogue
        self._blobs = blobs
        # The first call may still be at work when the publisher makes it again.
        self._one_at_a_time = threading.Lock()

    def add(self, record: bytes, *, alias: str | None, by: str) -> VersionRow:
        """The version that `record` describes, with the alias on it; `by` says who sent it.

        Raises BadManifest for a malformed record, NotFound where a manifest or file was not sent,
        and what `Catalogue.add_version` raises.
        """
        version = decode_version(record)
        with self._one_at_a_time:
            same = self._catalogue.find_same(version.model, [row.id for row in version.artifacts])
            if same is None or not is_made_from(same, version):
                manifests = {row.id: self._read_manifest(row.id) for row in version.artifacts}
                draft = draft_from_record(version, manifests, alias=alias, by=by)
                return self._catalogue.add_version(draft)
            if alias is None or alias in same.aliases:
                return same
            self._catalogue.set_alias(same.model, alias, same.version, by=by)
            return self._catalogue.version(same.model, same.version)

    def _read_manifest(self, identity: str) -> bytes:
        size_bytes = self._blobs.size(identity)
        if size_bytes > MAX_MANIFEST_BYTES:
            raise BadInput(f"The blob {identity[:12]} is too large to be a manifest.")
        return self._blobs.read(identity, 0, size_bytes)


def is_made_from(stored: VersionRow, sent: VersionRow) -> bool:
    """Whether adding `sent` made `stored`: they say the same of the version, and every measurement
    that was sent is there. Nodes may have added theirs since."""
    if _without_measurements(stored) != _without_measurements(sent):
        return False
    if not all(pair in stored.pairs for pair in sent.pairs):
        return False
    return all(
        new.evaluation in (None, old.evaluation) and set(new.profiles) <= set(old.profiles)
        for old, new in zip(stored.artifacts, sent.artifacts, strict=True)
    )


def _without_measurements(version: VersionRow) -> VersionRow:
    return replace(
        version,
        version=0,
        created_at="",
        artifacts=tuple(replace(a, evaluation=None, profiles=()) for a in version.artifacts),
        pairs=(),
        aliases=(),
        deprecated=None,
        deleted_at=None,
    )
