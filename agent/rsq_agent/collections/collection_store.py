"""All collections of a node, below one folder that one process owns at a time.

owner.lock, owner        the lock, and who holds it
<name>/                  one collection, see `rsq_agent.collections.collection`
.new-*, .old-*           a creation or removal that a crash cut short; cleared on opening
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from rsq.digest import require_digest
from rsq.durable import disk_failures, make_folder, sync_folder
from rsq.errors import BadInput, EnvironmentFault, NotFound, SpaceMismatch
from rsq_agent.collections.collection import Collection
from rsq_agent.collections.collection_interface import VectorCollection
from rsq_agent.collections.collection_record import (
    MAX_DIMENSION,
    RECORD_NAME,
    CollectionRecord,
    new_shard_name,
    write_record,
)
from rsq_agent.collections.shard import Shard

MAX_NAME_CHARACTERS = 64
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")


class CollectionStore:
    """Opens, makes and drops collections; threads may share it."""

    def __init__(self, root: Path) -> None:
        """Takes the folder `root`, made if absent; raises EnvironmentFault, naming the owner, where
        another process has it, and where it can't be written."""
        self._root = root
        try:
            make_folder(root)
            # The lock belongs to the process and not to the thread that happens to open the store.
            self._lock = FileLock(root / "owner.lock", thread_local=False)
            self._lock.acquire(blocking=False)
            # Beside the lock, since trying to take the lock may empty its file.
            (root / "owner").write_text(
                f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8"
            )
        except Timeout as e:
            raise EnvironmentFault(
                f"The collections in {root} belong to {_read_owner(root)}; one process opens them "
                "at a time. Ask that agent, or stop it."
            ) from e
        except OSError as e:
            raise EnvironmentFault(f"The folder {root} can't be used for collections: {e}.") from e
        for pattern in (".new-*", ".old-*"):
            for path in root.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)
        self._guard = threading.RLock()
        self._open: dict[str, Collection] = {}
        self._closed = False

    def open(self, name: str) -> Collection:
        """The collection, the same object for the same name; raises NotFound where there is none,
        IntegrityError where it is damaged."""
        folder = self._folder(name)
        with self._guard:
            self._require_open()
            if name not in self._open:
                if not (folder / RECORD_NAME).is_file():
                    raise NotFound(f"There is no collection {name!r} here.")
                self._open[name] = Collection(folder)
            return self._open[name]

    def create(self, name: str, *, space_id: str, dimension: int) -> Collection:
        """A new, empty collection for float32 vectors [dimension] of that space; raises BadInput
        where the name is taken."""
        folder = self._folder(name)
        require_digest(space_id)
        if not 1 <= dimension <= MAX_DIMENSION:
            raise BadInput(f"A collection has 1 to {MAX_DIMENSION} dimensions, not {dimension}.")
        with self._guard:
            self._require_open()
            if folder.exists():
                raise BadInput(f"There is a collection {name!r} already.")
            record = CollectionRecord(
                name=name,
                space_id=space_id,
                dimension=dimension,
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                shard=new_shard_name(),
            )
            # Made aside and renamed when complete. The shard is closed for it, as it keeps using
            # the path it was opened at.
            with disk_failures(f"The collection {name!r} can't be made"):
                making = self._aside("new")
                Shard.create(making / record.shard, dimension).close()
                write_record(making, record)
                os.rename(making, folder)
                sync_folder(self._root)
            return self.open(name)

    def open_or_create(self, name: str, *, space_id: str, dimension: int) -> Collection:
        """As `open` or else `create`; raises SpaceMismatch where the collection is there and of
        another space or dimension."""
        with self._guard:
            if not (self._folder(name) / RECORD_NAME).is_file():
                return self.create(name, space_id=space_id, dimension=dimension)
            collection = self.open(name)
        require_same_space(collection, space_id=space_id, dimension=dimension)
        return collection

    def names(self) -> list[str]:
        """Sorted names of all collections, open or not."""
        return sorted(
            path.parent.name
            for path in self._root.glob(f"*/{RECORD_NAME}")
            if _NAME.fullmatch(path.parent.name)
        )

    def drop(self, name: str) -> None:
        """Removes the collection and its points for good; raises NotFound where there is none."""
        folder = self._folder(name)
        with self._guard:
            self._require_open()
            if not folder.is_dir():
                raise NotFound(f"There is no collection {name!r} here.")
            if name in self._open:
                self._open.pop(name).close()
            going = self._aside("old")
            with disk_failures(f"The collection {name!r} can't be removed"):
                os.rename(folder, going)
                sync_folder(self._root)
            shutil.rmtree(going, ignore_errors=True)

    def close(self) -> None:
        """Closes every collection and gives the folder back. Harmless twice."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
            for collection in self._open.values():
                collection.close()
            self._open.clear()
            with suppress(OSError):  # the next owner overwrites it
                (self._root / "owner").unlink()
            self._lock.release()

    def _require_open(self) -> None:
        if self._closed:
            raise EnvironmentFault("The collections are closed.")

    def _aside(self, kind: str) -> Path:
        return self._root / f".{kind}-{secrets.token_hex(8)}"

    def _folder(self, name: str) -> Path:
        check_name(name)
        return self._root / name


def check_name(name: str) -> None:
    """Raises BadInput for what can't be the name of a collection."""
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{name[:80]!r} is not a collection name: up to {MAX_NAME_CHARACTERS} lower-case "
            "letters, digits, '-' and '_', with a letter or digit at both ends."
        )


def require_same_space(collection: VectorCollection, *, space_id: str, dimension: int) -> None:
    """Raises SpaceMismatch unless `collection` is of that space and dimension."""
    if (collection.space_id, collection.dimension) != (space_id, dimension):
        raise SpaceMismatch(
            f"The collection {collection.name!r} holds vectors of space "
            f"{collection.space_id[:12]} and the model makes vectors of space {space_id[:12]}: "
            "index into another collection, or drop this one.",
            metadata={"space_id": space_id, "collection_space_id": collection.space_id},
        )


def _read_owner(root: Path) -> str:
    try:
        return (root / "owner").read_text(encoding="utf-8") or "another process"
    except OSError:
        return "another process"
