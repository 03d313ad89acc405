"""The client workflow of The Update Framework, run by python-tuf over a source of metadata."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization import DeserializationError
from tuf.ngclient import TargetFile, Updater, UpdaterConfig

from rsq.durable import make_folder, sync_file, sync_folder
from rsq.errors import ForeignMetadata
from rsq.updates.faults import translate_faults
from rsq.updates.fetcher import BASE, FILE_SECONDS, SIGNED_AT, SourceFetcher, parse_time
from rsq.updates.metadata_files import (
    MAX_ROOT_BYTES,
    MAX_SNAPSHOT_BYTES,
    MAX_TARGETS_BYTES,
    MAX_TIMESTAMP_BYTES,
    MetadataSource,
)

CONFIG = UpdaterConfig(
    max_root_rotations=256,
    max_delegations=32,
    root_max_length=MAX_ROOT_BYTES,
    timestamp_max_length=MAX_TIMESTAMP_BYTES,
    snapshot_max_length=MAX_SNAPSHOT_BYTES,
    targets_max_length=MAX_TARGETS_BYTES,
    app_user_agent="rsq",
)


@dataclass(frozen=True)
class Seen:
    """What a node has verified: the latest time at which metadata was signed, and the versions."""

    signed_at: datetime | None = None
    versions: dict[str, int] = field(default_factory=dict)


class Refreshed:
    """Verified metadata. `find` fetches delegated roles as they are needed."""

    def __init__(self, updater: Updater, fetcher: SourceFetcher, folder: Path) -> None:
        self._updater = updater
        self._fetcher = fetcher
        self._folder = folder
        self.seen = read_seen(folder)

    def find(self, path: str) -> TargetFile | None:
        """The signed target at `path`; None where none is. Raises what `refresh` raises."""
        with translate_faults(self._fetcher, lambda: self._updater._trusted_set.root):
            found = self._updater.get_targetinfo(path)
        _make_durable(self._folder)
        return found


def refresh(
    folder: Path,
    source: MetadataSource,
    *,
    root: bytes,
    at: datetime,
    seconds: float = FILE_SECONDS,
) -> Refreshed:
    """Brings `folder` up to date from `source`, starting from the trusted `root`, and checks all
    expiry times against `at`.

    What was verified before a failure is kept, as the specification wants it: a newer root stays
    trusted even where the timestamp is refused. Raises Untrusted and its subclasses, and what the
    source raises.
    """
    pinned = read_root(root)
    make_folder(folder)
    versions = read_seen(folder).versions
    fetcher = SourceFetcher(source, seen_versions=versions, seconds=seconds)
    with translate_faults(fetcher, lambda: pinned):
        updater = Updater(str(folder), BASE, fetcher=fetcher, config=CONFIG, bootstrap=root)
    # python-tuf offers no way to name the time, and a node's clock is not to be relied on.
    updater._trusted_set.reference_time = at
    try:
        with translate_faults(fetcher, lambda: updater._trusted_set.root):
            updater.refresh()
    finally:
        _make_durable(folder)
    return Refreshed(updater, fetcher, folder)


def read_root(data: bytes) -> Root:
    """The root in `data`, signed by its own keys. Raises ForeignMetadata for anything else."""
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(data)
        root = metadata.signed
        if not isinstance(root, Root):
            raise ForeignMetadata("This is metadata of another role than root; name a root.json.")
        root.verify_delegate(Root.type, metadata.signed_bytes, metadata.signatures)
    except (DeserializationError, RepositoryError) as e:
        raise ForeignMetadata(
            "This is no root that its own keys signed. Get it anew, from someone you trust."
        ) from e
    return root


def read_seen(folder: Path) -> Seen:
    """What the verified metadata in `folder` says of itself; what is missing or damaged is left
    out."""
    versions = {}
    signed_at = None
    for role in ("root", "timestamp", "snapshot", "targets"):
        try:
            metadata: Metadata[Any] = Metadata.from_bytes((folder / f"{role}.json").read_bytes())
        except (OSError, DeserializationError):
            continue
        versions[role] = metadata.signed.version
        if role == "timestamp":
            signed_at = parse_time(metadata.signed.unrecognized_fields.get(SIGNED_AT))
    return Seen(signed_at, versions)


def _make_durable(folder: Path) -> None:
    """python-tuf replaces files at once but does not sync them."""
    for path in (*folder.glob("*.json"), *folder.glob("root_history/*.json")):
        if path.exists():
            sync_file(path)
    for part in (folder / "root_history", folder):
        if part.is_dir():
            sync_folder(part)
