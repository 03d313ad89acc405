"""The update repository: what is signed, by whom, and how it changes.

    FOLDER/metadata/    1.root.json, 7.targets.json, 7.snapshot.json, timestamp.json: every version
           staged/      root.json, targets.json: changes that wait for more signatures
           lock

A change to root or targets waits in `staged` until enough keys have signed it. Then it becomes
visible with a snapshot and a timestamp of its own: the timestamp is written last, and until then
nodes see the old state. Nothing is written before it has passed the workflow that nodes run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from filelock import FileLock, Timeout
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from rsq.durable import disk_failures, make_folder
from rsq.errors import BadInput, Exhausted, NotFound, Untrusted
from rsq.updates.metadata_files import CarriedMetadata, MetadataFolder, collect
from rsq.updates.names import MetadataName
from rsq.updates.refresh import refresh
from rsq.updates.signed_version import SignedFile
from rsq_server.signing.keys import Signers
from rsq_server.signing.roles import (
    LIFETIME_DAYS,
    date,
    decode,
    encode,
    missing_signatures,
    name_of,
    sign,
)

Files = dict[MetadataName, bytes]
P = ParamSpec("P")
T = TypeVar("T")
LOCK_SECONDS = 30.0  # for someone else's change
_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)  # at which nothing has expired


@dataclass(frozen=True)
class Change:
    """What became of a change: `missing` counts the signatures that it waits for, by role; empty
    where nodes see it now."""

    missing: dict[str, int]


def _alone(method: Callable[P, T]) -> Callable[P, T]:
    """One change at a time, also among processes."""

    @wraps(method)
    def locked(*args: P.args, **kwargs: P.kwargs) -> T:
        repository = args[0]
        assert isinstance(repository, Repository)
        with repository.lock():
            return method(*args, **kwargs)

    return locked


class Repository:
    """Whatever changes it raises Exhausted where someone else's change takes too long."""

    def __init__(self, folder: Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self.files = MetadataFolder(folder / "metadata")
        self._staged = MetadataFolder(folder / "staged")
        self._now = now
        self._lock = FileLock(folder / "lock")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps others from changing the repository for the length of the block."""
        path = Path(self._lock.lock_file)
        with disk_failures(f"{path} can't be made"):
            make_folder(path.parent)
            try:
                self._lock.acquire(timeout=LOCK_SECONDS)
            except Timeout as e:
                raise Exhausted("Someone else is signing here; try again in a moment.") from e
        try:
            yield
        finally:
            self._lock.release()

    def require_new(self) -> None:
        """Raises BadInput where there is a repository already."""
        if self.files.newest("root") is not None:
            raise BadInput(f"{self.files.folder} is a repository already.")

    def current(self, role: str) -> Metadata[Any]:
        """Raises NotFound where nothing was signed yet."""
        name = self.files.newest(role)
        if name is None:
            raise NotFound(f"{self.files.folder} has no {role} yet; run: rsq-server trust init")
        return decode(self.files.read(name), f"{self.files.folder}/{name}")

    def staged(self, role: str) -> Metadata[Any] | None:
        """The change of `role` that waits for signatures. One that was overtaken, or that a crash
        left behind, waits no more."""
        path = self._staged.folder / f"{role}.json"
        if not path.is_file():
            return None
        found = decode(self._staged.read(MetadataName(role)), str(path))
        return found if found.signed.version == self.current(role).signed.version + 1 else None

    @_alone
    def initialize(self, keys: Mapping[str, Signers], thresholds: Mapping[str, int]) -> None:
        """The first root and empty targets, signed by `keys`, which are named by role. Raises
        BadInput where there is a repository already."""
        self.require_new()
        root = Root()
        for role, signers in keys.items():
            for signer in signers.values():
                root.add_key(signer.public_key, role)
            root.roles[role].threshold = thresholds[role]
        signers = {keyid: signer for part in keys.values() for keyid, signer in part.items()}
        metadata = Metadata(root)
        date(root, self._now(), days=LIFETIME_DAYS["root"])
        sign(metadata, [root], signers)
        self._publish(metadata, Metadata(Targets()), signers)

    @_alone
    def change_targets(self, change: Callable[[Targets], None], signers: Signers) -> Change:
        """Applies `change` to a copy of the newest targets, or to one that waits already."""
        base = self.staged("targets") or self.current("targets")
        metadata = Metadata(deepcopy(base.signed))
        change(metadata.signed)
        return self._settle(metadata, signers)

    @_alone
    def change_root(self, change: Callable[[Root], None], signers: Signers) -> Change:
        """Applies `change` to a copy of the newest root, or to one that waits already. The keys of
        the old and of the new root must sign it."""
        base = self.staged("root") or self.current("root")
        metadata = Metadata(deepcopy(base.signed))
        change(metadata.signed)
        return self._settle(metadata, signers)

    @_alone
    def add_signatures(self, signers: Signers) -> Change:
        """Signs what waits. Raises NotFound where nothing does."""
        waiting = [found for role in ("root", "targets") if (found := self.staged(role))]
        if not waiting:
            raise NotFound("Nothing waits for signatures here.")
        missing: dict[str, int] = {}
        for metadata in waiting:
            missing |= self._settle(metadata, signers, is_signed=True).missing
        return Change(missing)

    @_alone
    def renew(self, signers: Signers, *, days: int) -> None:
        """A new timestamp that expires in so many days, and a new snapshot where the old one would
        expire before. Raises BadInput where its keys are not among `signers`."""
        self._publish(None, None, signers, days=days)

    @_alone
    def put(self, files: Mapping[MetadataName, bytes]) -> None:
        """Adds files that were signed elsewhere, all or none, where nodes would accept the result.
        Raises BadInput for a change to what is there, Untrusted for what nodes would refuse."""
        for name, data in files.items():
            is_kept = name.version is not None and (self.files.folder / str(name)).is_file()
            if is_kept and self.files.read(name) != data:
                raise BadInput(f"{name} is here already and reads otherwise; sign a newer version.")
        self._check(dict(files))
        self._write(files)

    def _settle(
        self, metadata: Metadata[Any], signers: Signers, *, is_signed: bool = False
    ) -> Change:
        role = metadata.signed.type
        old = self.current("root").signed
        if not is_signed:
            metadata.signed.version = self.current(role).signed.version + 1
            date(metadata.signed, self._now(), days=LIFETIME_DAYS[role])
        roots = [old, metadata.signed] if role == "root" else [old]
        sign(metadata, roots, signers)
        missing = missing_signatures(metadata, roots)
        if missing:
            self._staged.write(MetadataName(role), encode(metadata))
            return Change({role: missing})
        if role == "root":
            self._publish(metadata, None, signers)
        else:
            self._publish(None, metadata, signers)
        (self._staged.folder / f"{role}.json").unlink(missing_ok=True)
        return Change({})

    def _publish(
        self,
        new_root: Metadata[Any] | None,
        new_targets: Metadata[Any] | None,
        signers: Signers,
        *,
        days: int = LIFETIME_DAYS["timestamp"],
    ) -> None:
        """In this order: 1. root; 2. targets, anew where the root no longer accepts the signatures;
        3. snapshot, anew where it must; 4. timestamp; 5. check all of it as a node would; 6. write,
        the timestamp last."""
        files: Files = {}
        # 1. root
        root = (new_root or self.current("root")).signed
        if new_root is not None:
            files[name_of(root)] = encode(new_root)
        # 2. targets
        targets = new_targets or self.current("targets")
        if missing_signatures(targets, [root]):
            targets = self._make(targets.signed, root, signers, LIFETIME_DAYS["targets"])
        targets_data = encode(targets)
        files[name_of(targets.signed)] = targets_data
        # 3. snapshot
        listed = MetaFile.from_data(targets.signed.version, targets_data, ["sha256"])
        is_first = self.files.newest("snapshot") is None
        snapshot = Metadata(Snapshot()) if is_first else self.current("snapshot")
        is_old = snapshot.signed.expires < self._in_days(days)
        changed = snapshot.signed.meta.get("targets.json") != listed
        if changed or is_old or missing_signatures(snapshot, [root]):
            snapshot.signed.meta["targets.json"] = listed
            snapshot = self._make(
                snapshot.signed, root, signers, max(days, LIFETIME_DAYS["snapshot"])
            )
        snapshot_data = encode(snapshot)
        files[name_of(snapshot.signed)] = snapshot_data
        # 4. timestamp
        timestamp = Metadata(Timestamp()) if is_first else self.current("timestamp")
        timestamp.signed.snapshot_meta = MetaFile.from_data(
            snapshot.signed.version, snapshot_data, ["sha256"]
        )
        timestamp = self._make(timestamp.signed, root, signers, days)
        files[MetadataName("timestamp")] = encode(timestamp)
        # 5. check
        self._check(files)
        # 6. write
        self._write(files)

    def _make(self, signed: Any, root: Root, signers: Signers, days: int) -> Metadata[Any]:
        """The next version of `signed`, in full signed. Raises BadInput where keys are missing."""
        role = signed.type
        newest = self.files.newest(role)
        signed = deepcopy(signed)
        signed.version = 1 if newest is None else self.current(role).signed.version + 1
        date(signed, self._now(), days=days)
        metadata: Metadata[Any] = Metadata(signed)
        sign(metadata, [root], signers)
        missing = missing_signatures(metadata, [root])
        if missing:
            raise BadInput(
                f"The {role} must be signed as well, and {missing} of its keys are not in the "
                "folder of keys; add them and run this again."
            )
        return metadata

    def _check(self, files: Files) -> None:
        """As a node that has followed the repository so far: first what is here, whatever its age,
        then what is new. What a crash left incomplete must not be in the way of its repair."""
        known = collect(self.files)
        merged = {**known, **files}
        first = min(
            (name for name in merged if name.role == "root"),
            key=lambda name: name.version or 0,
            default=None,
        )
        if first is None:
            raise BadInput("The first root must be among the files; run: rsq-server trust init")
        with tempfile.TemporaryDirectory(prefix="rsq-trust-") as node:
            if known:
                carried = CarriedMetadata(known, target=str(self.files.folder))
                with suppress(Untrusted):
                    refresh(Path(node), carried, root=merged[first], at=_ANY_TIME)
            carried = CarriedMetadata(merged, target="the new metadata")
            refresh(Path(node), carried, root=merged[first], at=self._now())

    def _write(self, files: Mapping[MetadataName, bytes]) -> None:
        # Until the root is there nodes see the old state, and from the timestamp on the new one.
        order = ("targets", "snapshot", "root", "timestamp")
        known = [name for name in files if name.role in order]
        others = [name for name in files if name.role not in order]
        for name in (*others, *sorted(known, key=lambda name: order.index(name.role))):
            self.files.write(name, files[name])

    def _in_days(self, days: int) -> datetime:
        return self._now() + timedelta(days=days)


def put_targets(files: list[SignedFile], *, below: str = "") -> Callable[[Targets], None]:
    """The change that sets these targets, in place of all those whose path begins with `below`."""

    def change(targets: Targets) -> None:
        if below:
            remove_targets(below)(targets)
        for file in files:
            targets.targets[file.path] = TargetFile(
                file.size_bytes, {"sha256": file.sha256}, file.path, {"custom": file.custom}
            )

    return change


def remove_targets(below: str) -> Callable[[Targets], None]:
    """The change that withdraws all targets whose path begins with `below`."""

    def change(targets: Targets) -> None:
        for path in [path for path in targets.targets if path.startswith(below)]:
            del targets.targets[path]

    return change
