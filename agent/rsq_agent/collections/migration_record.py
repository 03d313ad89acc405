"""migration.json: a collection's move into another embedding space, beside its collection.json.

It alone says which folder is in use, so that one write cuts over or goes back.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from rsq.digest import is_digest
from rsq.durable import disk_failures, sync_folder, write_durably
from rsq.errors import EnvironmentFault, IntegrityError, NotFound

SCHEMA = 1
MIGRATION_NAME = "migration.json"
STATES = ("running", "ready", "cut_over", "failed")


@dataclass(frozen=True)
class MigrationRecord:
    """`source` and `shadow` are folders beside each other, empty once they are forgotten."""

    collection: str
    state: str
    source: str
    shadow: str
    old_space_id: str
    new_space_id: str
    dimension: int  # of the new space
    model: str  # NAME:VERSION that makes the new vectors
    failed: int = 0  # images that could not be read
    overlap_at_10: float = 0.0
    sampled_queries: int = 0
    message: str = ""
    schema: int = SCHEMA

    @property
    def in_use(self) -> str:
        return self.shadow if self.state == "cut_over" else self.source


def new_shadow_name(collection: str) -> str:
    """Never used before."""
    return f"{collection}.{secrets.token_hex(4)}"


def write_migration(folder: Path, record: MigrationRecord) -> None:
    """Replaces the record in `folder` at once. Raises Exhausted or EnvironmentFault."""
    text = json.dumps(asdict(record), indent=2, sort_keys=True) + "\n"
    with disk_failures(f"The {MIGRATION_NAME} of {record.collection!r} can't be written"):
        write_durably(folder / MIGRATION_NAME, text.encode())


def remove_migration(folder: Path) -> None:
    """Raises EnvironmentFault."""
    with disk_failures(f"The {MIGRATION_NAME} of {folder.name!r} can't be removed"):
        (folder / MIGRATION_NAME).unlink(missing_ok=True)
        sync_folder(folder)


def read_migration(folder: Path) -> MigrationRecord:
    """Raises NotFound where there is none, EnvironmentFault for a newer schema, IntegrityError for
    a damaged one."""
    try:
        fields = json.loads((folder / MIGRATION_NAME).read_bytes())
        if isinstance(fields["schema"], int) and fields["schema"] > SCHEMA:
            raise EnvironmentFault(
                f"The migration of {folder.name!r} has schema {fields['schema']}; this rsq reads "
                f"up to {SCHEMA}. Upgrade rsq."
            )
        record = MigrationRecord(
            collection=fields["collection"],
            state=fields["state"],
            source=fields["source"],
            shadow=fields["shadow"],
            old_space_id=fields["old_space_id"],
            new_space_id=fields["new_space_id"],
            dimension=int(fields["dimension"]),
            model=str(fields["model"]),
            failed=int(fields["failed"]),
            overlap_at_10=float(fields["overlap_at_10"]),
            sampled_queries=int(fields["sampled_queries"]),
            message=str(fields["message"]),
        )
        sound = (
            fields["schema"] == SCHEMA
            and record.collection == folder.name
            and record.state in STATES
            and is_digest(record.old_space_id)
            and is_digest(record.new_space_id)
            and all(_is_folder_of(folder.name, name) for name in (record.source, record.shadow))
            and bool(record.in_use)
        )
    except FileNotFoundError as e:
        raise NotFound(
            f"The collection {folder.name!r} has no migration; begin one: rsq-agent index migrate "
            f"start {folder.name} --to MODEL"
        ) from e
    except OSError as e:
        raise EnvironmentFault(f"The migration of {folder.name!r} can't be read: {e}.") from e
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as e:
        raise IntegrityError(f"The {MIGRATION_NAME} of {folder.name!r} is damaged.") from e
    if not sound:
        raise IntegrityError(f"The {MIGRATION_NAME} of {folder.name!r} does not describe it.")
    return record


def folder_in_use(folder: Path, name: str) -> str:
    """The name of the folder that holds what users know as the collection `name`."""
    try:
        return read_migration(folder).in_use
    except NotFound:
        return name


def names_folder(folder: Path, shadow: str) -> bool:
    """Whether the migration in `folder` knows the folder `shadow`; True where that can't be told,
    so that nothing is deleted on a guess."""
    try:
        record = read_migration(folder)
    except NotFound:
        return False
    except (EnvironmentFault, IntegrityError):
        return True
    return shadow in (record.source, record.shadow)


def _is_folder_of(collection: str, name: str) -> bool:
    return name in ("", collection) or (
        re.fullmatch(rf"{re.escape(collection)}\.[0-9a-f]{{8}}", name) is not None
    )
