"""Brings a node's signed metadata up to date and answers with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from rsq.errors import ExpiredMetadata, NotFound, RolledBack
from rsq.records import VersionRow
from rsq.updates.fetcher import FILE_SECONDS, parse_time
from rsq.updates.metadata_files import MetadataFolder, MetadataSource
from rsq.updates.names import MetadataName
from rsq.updates.refresh import Refreshed, refresh
from rsq_agent.trust.clock import ANY_TIME, check_expiry, check_signed_at, choose_time
from rsq_agent.trust.folder import TrustFolder
from rsq_agent.trust.signed_versions import SignedTarget, vouch


class Trust:
    """What a node may run, by its pinned root."""

    def __init__(
        self,
        folder: TrustFolder,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        seconds: float = FILE_SECONDS,
    ) -> None:
        self._folder = folder
        self._now = now
        self._seconds = seconds

    def update(self, source: MetadataSource) -> Verified:
        """In this order: 1. the time that counts; 2. the client workflow; 3. the time again, by
        what was verified; 4. the floor below which no clock is believed from now on.

        Raises Untrusted and its subclasses, and what the source raises. What serves is not touched.
        """
        with self._folder.lock():
            return self._update(source)

    def _update(self, source: MetadataSource) -> Verified:
        # 1. time
        now = self._now()
        policy = self._folder.policy()
        at = choose_time(now, self._folder.floor(), policy)
        # 2. workflow
        try:
            refreshed = refresh(
                self._folder.metadata,
                source,
                root=self._folder.root(),
                at=at,
                seconds=self._seconds,
            )
        except ExpiredMetadata as e:
            check_expiry(now, parse_time(e.metadata.get("signed_at")))
            raise
        # 3. time
        signed_at = refreshed.seen.signed_at
        if policy.waiver(now) is None:
            check_signed_at(now, signed_at)
        # 4. floor
        if signed_at is not None:
            self._check_floor(signed_at, source)
            self._folder.raise_floor(signed_at)
        return Verified(refreshed)

    def update_from_bundle(self, source: MetadataSource) -> Verified:
        """As `update`; but where the node knows newer metadata already, that decides, so that
        bundles may come in any order."""
        try:
            return self.update(source)
        except RolledBack:
            return self.update(StoredMetadata(self._folder))

    def recall(self) -> Verified:
        """What was verified before, whatever its age: enough to explain what runs, not to pull.
        Raises Untrusted where nothing was."""
        source = StoredMetadata(self._folder)
        root = self._folder.root()
        with self._folder.lock():
            return Verified(refresh(self._folder.metadata, source, root=root, at=ANY_TIME))

    def _check_floor(self, signed_at: datetime, source: MetadataSource) -> None:
        """The stored metadata may be lost; the floor still tells an old timestamp."""
        floor = self._folder.floor()
        if floor is not None and signed_at < floor:
            raise RolledBack(
                f"{source.target} sends a timestamp that was signed before the last one that this "
                "node has verified. What serves goes on serving."
            )


class Verified:
    """Signed metadata that was verified just now."""

    def __init__(self, refreshed: Refreshed) -> None:
        self._refreshed = refreshed
        self.seen = refreshed.seen

    def find(self, path: str) -> SignedTarget | None:
        found = self._refreshed.find(path)
        return None if found is None else SignedTarget(found.hashes.get("sha256", ""), found.custom)

    def vouch(self, reference: str, version: VersionRow) -> VersionRow:
        """What was signed of `version`; see `rsq_agent.trust.signed_versions.vouch`."""
        return vouch(self.find, reference, version)


class StoredMetadata:
    """What the node verified before, as a source: nothing newer is to be had from it."""

    def __init__(self, folder: TrustFolder) -> None:
        self.target = str(folder.metadata)
        self._files = MetadataFolder(folder.metadata)

    def metadata(self, name: MetadataName) -> Iterator[bytes]:
        if name.role == "root":
            raise NotFound("There is no newer root here.")
        yield from self._files.metadata(MetadataName(name.role))
