"""All collections of a node, below one folder that one process owns at a time.

owner.lock, owner        the lock, and who holds it
<name>/                  one collection, see `rsq_agent.collections.collection`
<name>/migration.json    which folder is in use, see `rsq_agent.collections.migration_record`
<name>.<8 hex>/          the same collection in another model's space
.new-*, .old-*           a creation or removal that a crash cut short; cleared on opening
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rsq.digest import require_digest
from rsq.durable import disk_failures, sync_folder
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
from rsq_agent.collections.migration_record import (
    MigrationRecord,
    folder_in_use,
    names_folder,
    read_migration,
    remove_migration,
    write_migration,
)
from rsq_agent.collections.owner_lock import OwnerLock
from rsq_agent.collections.shard import Shard

MAX_NAME_CHARACTERS = 64
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")


class CollectionStore:
    """Opens, makes and drops collections; threads may share it."""

    def __init__(self, root: Path) -> None:
        """Takes the folder `root`, made if absent; raises EnvironmentFault, naming the owner, where
        another process has it, and where it can't be written."""
        self._root = root
        self._owner = OwnerLock(root)
        for pattern in (".new-*", ".old-*"):
            for path in root.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)
        self._guard = threading.RLock()
        self._open: dict[str, Collection] = {}  # by folder
        self._in_use: dict[str, str] = {}  # folder by name
        self._closed = False
        self._remove_unnamed()

    def open(self, name: str) -> Collection:
        """The collection, the same object for the same name; raises NotFound where there is none,
        IntegrityError where it is damaged."""
        check_name(name)
        with self._guard:
            if name not in self._in_use:
                self._in_use[name] = folder_in_use(self._root / name, name)
            return self._open_folder(self._in_use[name])

    def open_shadow(self, record: MigrationRecord) -> Collection:
        """The collection that `record` fills, made if absent; nobody finds it by its name."""
        with self._guard:
            self._require_open()
            if not (self._root / record.shadow / RECORD_NAME).is_file():
                self._make(record.shadow, record.new_space_id, record.dimension)
            return self._open_folder(record.shadow)

    def open_source(self, record: MigrationRecord) -> Collection:
        """The collection that `record` moves away from."""
        with self._guard:
            return self._open_folder(record.source)

    def migration(self, name: str) -> MigrationRecord:
        """Raises NotFound where there is none, and IntegrityError or EnvironmentFault where it
        can't be read."""
        return read_migration(self._folder(name))

    def save_migration(self, record: MigrationRecord) -> None:
        """What `record` says is in use is what `open` gives from now on, and after a crash."""
        write_migration(self._folder(record.collection), record)
        self._in_use[record.collection] = record.in_use

    def forget_migration(self, record: MigrationRecord) -> None:
        """Deletes the shadow of a migration that was not cut over."""
        if record.source == record.collection:
            remove_migration(self._folder(record.collection))
        else:  # an earlier migration led there, which its record has to say
            self.save_migration(
                replace(record, state="cut_over", source="", shadow=record.source, failed=0)
            )
        with self._guard:
            self._remove_folder(record.shadow)

    def forget_source(self, record: MigrationRecord) -> MigrationRecord:
        """Deletes what a migration that was cut over moved away from; there is no way back."""
        with self._guard:
            kept = replace(record, source="")
            self.save_migration(kept)
            if record.source == record.collection:  # its folder names the collection
                if record.source in self._open:
                    self._open.pop(record.source).close()
                for path in self._folder(record.source).glob("shard-*"):
                    shutil.rmtree(path, ignore_errors=True)
            else:
                self._remove_folder(record.source)
            return kept

    def create(self, name: str, *, space_id: str, dimension: int) -> Collection:
        """A new, empty collection for float32 vectors [dimension] of that space; raises BadInput
        where the name is taken."""
        check_name(name)
        require_digest(space_id)
        if not 1 <= dimension <= MAX_DIMENSION:
            raise BadInput(f"A collection has 1 to {MAX_DIMENSION} dimensions, not {dimension}.")
        with self._guard:
            self._require_open()
            self._require_free(name)
            self._make(name, space_id, dimension)
            return self.open(name)

    def adopt(self, name: str, fill: Callable[[Path], None]) -> Collection:
        """The collection whose folder `fill` makes, which nobody sees before it is complete; raises
        BadInput where the name is taken."""
        folder = self._folder(name)
        self._require_free(name)
        making = self._aside("new")
        try:
            fill(making)
            with self._guard, disk_failures(f"The collection {name!r} can't be made"):
                self._require_open()
                self._require_free(name)
                os.rename(making, folder)
                sync_folder(self._root)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        return self.open(name)

    @contextmanager
    def copied(self, name: str) -> Iterator[tuple[CollectionRecord, int, Path]]:
        """Record, number and folder of the collection's points as they are now, in a copy that is
        gone after the block; raises what `Collection.copy_shard` does."""
        copy = self._aside("new")
        try:
            record, points = self.open(name).copy_shard(copy)
            yield replace(record, name=name), points, copy
        finally:
            shutil.rmtree(copy, ignore_errors=True)

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
            self._remove_folder(name)
            self._in_use.pop(name, None)
            for path in self._root.glob(f"{name}.*"):
                self._remove_folder(path.name)

    def close(self) -> None:
        """Closes every collection and gives the folder back. Harmless twice."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
            for collection in self._open.values():
                collection.close()
            self._open.clear()
            self._owner.release()

    def _open_folder(self, name: str) -> Collection:
        with self._guard:
            self._require_open()
            if name not in self._open:
                if not (self._root / name / RECORD_NAME).is_file():
                    raise NotFound(f"There is no collection {name!r} here.")
                self._open[name] = Collection(self._root / name)
            return self._open[name]

    def _make(self, name: str, space_id: str, dimension: int) -> None:
        record = CollectionRecord(
            name=name,
            space_id=space_id,
            dimension=dimension,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            shard=new_shard_name(),
        )
        # Made aside and renamed when complete. The shard is closed for it, as it keeps using the
        # path it was opened at.
        with disk_failures(f"The collection {name!r} can't be made"):
            making = self._aside("new")
            Shard.create(making / record.shard, dimension).close()
            write_record(making, record)
            os.rename(making, self._root / name)
            sync_folder(self._root)

    def _remove_folder(self, name: str) -> None:
        if name in self._open:
            self._open.pop(name).close()
        if not (self._root / name).is_dir():
            return
        going = self._aside("old")
        with disk_failures(f"The collection {name!r} can't be removed"):
            os.rename(self._root / name, going)
            sync_folder(self._root)
        shutil.rmtree(going, ignore_errors=True)

    def _remove_unnamed(self) -> None:
        """Of migrations that a crash ended before or after they were written down."""
        for path in self._root.glob("*.*/"):
            name = path.name.partition(".")[0]
            if _NAME.fullmatch(name) and not names_folder(self._root / name, path.name):
                shutil.rmtree(path, ignore_errors=True)

    def _require_free(self, name: str) -> None:
        if self._folder(name).exists():
            raise BadInput(f"There is a collection {name!r} already.")

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
