"""collection.json: what a collection is, beside the shard that holds its points.

    extents   bounds of the bounding boxes in it, {"width", "height"} in degrees each: "small", and
              "large" or null where no box is; "first" and "last" of their times, in seconds of Unix
              time (rsq_agent.collections.stored_place)

Counts are not kept here: they would drift from the shard in a crash, and the shard counts fast.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from rsq.digest import is_digest
from rsq.durable import disk_failures, write_durably
from rsq.errors import EnvironmentFault, IntegrityError
from rsq_agent.collections.stored_place import NO_EXTENTS, Extents, read_extents

SCHEMA = 2
RECORD_NAME = "collection.json"
MAX_DIMENSION = 1 << 16  # the bound of the manifest
_SHARD_NAME = re.compile(r"shard-[0-9a-f]{16}")


@dataclass(frozen=True)
class CollectionRecord:
    """`shard` names the folder of points in use; each index build makes a new one."""

    name: str
    space_id: str
    dimension: int
    created_at: str  # RFC 3339, UTC
    shard: str
    extents: Extents = NO_EXTENTS
    schema: int = SCHEMA


def new_shard_name() -> str:
    """Never used before: a build that outlives a killed agent writes where nobody reads."""
    return f"shard-{secrets.token_hex(8)}"


def write_record(folder: Path, record: CollectionRecord) -> None:
    """Replaces the record in `folder` atomically: after a crash it is the old one or the new.

    Raises Exhausted or EnvironmentFault where the folder can't be written.
    """
    text = json.dumps(asdict(record), indent=2, sort_keys=True) + "\n"
    with disk_failures(f"The {RECORD_NAME} of {record.name!r} can't be written"):
        write_durably(folder / RECORD_NAME, text.encode())


def read_record(folder: Path) -> CollectionRecord:
    """Raises EnvironmentFault for a newer schema and IntegrityError for a damaged record."""
    try:
        fields = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
        schema = fields["schema"]
        if isinstance(schema, int) and schema != SCHEMA:
            what_to_do = "Upgrade rsq." if schema > SCHEMA else "Remove it and index again."
            raise EnvironmentFault(
                f"The collection {folder.name!r} has schema {schema}; this rsq reads {SCHEMA}. "
                f"{what_to_do}"
            )
        record = CollectionRecord(
            name=fields["name"],
            space_id=fields["space_id"],
            dimension=fields["dimension"],
            created_at=str(fields["created_at"]),
            shard=fields["shard"],
            extents=read_extents(fields["extents"]),
            schema=schema,
        )
        sound = (
            schema == SCHEMA
            and record.name == folder.name
            and is_digest(record.space_id)
            and 1 <= record.dimension <= MAX_DIMENSION
            and _SHARD_NAME.fullmatch(record.shard) is not None
        )
    except OSError as e:
        raise EnvironmentFault(f"The collection {folder.name!r} can't be read: {e}.") from e
    except (ValueError, KeyError, TypeError, OverflowError) as e:
        raise IntegrityError(f"The {RECORD_NAME} of {folder.name!r} is damaged.") from e
    if not sound:
        raise IntegrityError(f"The {RECORD_NAME} of {folder.name!r} does not describe it.")
    return record
