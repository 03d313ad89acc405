"""The node's files about trust. This module alone makes their paths:

HOME/trust/
├── root.json        the pinned root: what everything else is verified from
├── policy.json      what the operator decided, with every waiver
├── lock             held by whoever updates the metadata
├── floor.json       the latest time at which verified metadata was signed
└── metadata/        what was verified last, as python-tuf keeps it
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from rsq.durable import disk_failures, make_folder, write_durably
from rsq.errors import BadInput, EnvironmentFault, Exhausted, NotFound
from rsq.updates.metadata_files import MAX_ROOT_BYTES
from rsq_agent.trust.policy import Policy, Waiver

SCHEMA = 1
LOCK_SECONDS = 120.0  # for another process's update


class TrustFolder:
    def __init__(self, home: Path) -> None:
        """`home` is the agent's data folder."""
        self.folder = home / "trust"

    @property
    def metadata(self) -> Path:
        return self.folder / "metadata"

    @property
    def is_pinned(self) -> bool:
        return self._root.is_file()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps other processes from updating the metadata for the length of the block. Raises
        Exhausted where another update takes too long, EnvironmentFault."""
        lock = FileLock(self.folder / "lock")
        with disk_failures(f"{lock.lock_file} can't be made"):
            make_folder(self.folder)
            try:
                lock.acquire(timeout=LOCK_SECONDS)
            except Timeout as e:
                raise Exhausted(
                    "Another process is updating the signed metadata; try again in a moment."
                ) from e
        try:
            yield
        finally:
            lock.release()

    def root(self) -> bytes:
        """The pinned root. Raises NotFound."""
        with disk_failures(f"{self._root} can't be read"):
            try:
                return self._root.read_bytes()
            except FileNotFoundError as e:
                raise NotFound(
                    "No root is pinned on this node; run: rsq-agent trust pin ROOT.json"
                ) from e

    def pin(self, data: bytes, *, replace: bool = False) -> None:
        """Trusts a root from now on. The same one again changes nothing; another one is taken with
        `replace` only, and makes the node forget all that it verified. Raises BadInput,
        ForeignMetadata for what is no root."""
        from rsq.updates.refresh import read_root

        read_root(data)
        if self.is_pinned and self.root() != data:
            if not replace:
                raise BadInput(
                    "Another root is pinned on this node. If its repository was given up, pin the "
                    "new one with --replace."
                )
            with disk_failures(f"{self.metadata} can't be removed"):
                shutil.rmtree(self.metadata, ignore_errors=True)
                self._floor.unlink(missing_ok=True)
        self._write(self._root, data)

    def policy(self) -> Policy:
        """Raises EnvironmentFault where it can't be read: nothing is trusted by mistake."""
        fields = self._read(self._policy)
        if fields is None:
            return Policy()
        try:
            return Policy(
                bool(fields["require_signed"]),
                int(fields["grace_days"]),
                tuple(_waiver(one) for one in fields["waivers"]),
            )
        except (KeyError, TypeError, ValueError) as e:
            raise self._damaged(self._policy) from e

    def save_policy(self, policy: Policy) -> None:
        self._write_fields(self._policy, asdict(policy))

    def floor(self) -> datetime | None:
        """The latest time at which verified metadata was signed. Raises EnvironmentFault."""
        fields = self._read(self._floor)
        try:
            return None if fields is None else datetime.fromisoformat(fields["signed_at"])
        except (KeyError, TypeError, ValueError) as e:
            raise self._damaged(self._floor) from e

    def raise_floor(self, signed_at: datetime) -> None:
        """Never lowers it."""
        held = self.floor()
        if held is None or signed_at > held:
            self._write_fields(self._floor, {"signed_at": signed_at})

    @property
    def _root(self) -> Path:
        return self.folder / "root.json"

    @property
    def _policy(self) -> Path:
        return self.folder / "policy.json"

    @property
    def _floor(self) -> Path:
        return self.folder / "floor.json"

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            fields = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as e:
            raise self._damaged(path) from e
        if not isinstance(fields, dict) or fields.get("schema") != SCHEMA:
            raise self._damaged(path)
        return fields

    def _write_fields(self, path: Path, fields: dict[str, Any]) -> None:
        data = json.dumps(
            {"schema": SCHEMA, **fields}, indent=1, sort_keys=True, default=datetime.isoformat
        )
        self._write(path, data.encode())

    def _write(self, path: Path, data: bytes) -> None:
        with disk_failures(f"{path} can't be written"):
            write_durably(path, data)

    def _damaged(self, path: Path) -> EnvironmentFault:
        return EnvironmentFault(f"{path} can't be read; restore it, or delete it to start anew.")


def read_root_file(path: Path) -> bytes:
    """Raises EnvironmentFault where it can't be read, BadInput where it is too large for a root."""
    with disk_failures(f"{path} can't be read"), path.open("rb") as file:
        data = file.read(MAX_ROOT_BYTES + 1)
    if len(data) > MAX_ROOT_BYTES:
        raise BadInput(f"{path} is over {MAX_ROOT_BYTES} bytes, so it is no root.json.")
    return data


def _waiver(fields: dict[str, Any]) -> Waiver:
    return Waiver(
        until=datetime.fromisoformat(fields["until"]),
        reason=str(fields["reason"]),
        by=str(fields["by"]),
        at=datetime.fromisoformat(fields["at"]),
    )
