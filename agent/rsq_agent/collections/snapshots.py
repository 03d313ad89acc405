"""Snapshots of this node's collections, and new collections made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rsq.durable import disk_failures
from rsq.errors import IntegrityError
from rsq_agent.collections.collection import Collection
from rsq_agent.collections.collection_record import (
    CollectionRecord,
    new_shard_name,
    write_record,
)
from rsq_agent.collections.collection_store import CollectionStore, check_name
from rsq_agent.collections.shard_check import check_shard
from rsq_agent.collections.snapshot_index import SnapshotIndex
from rsq_agent.collections.snapshot_reader import SnapshotReader
from rsq_agent.collections.snapshot_writer import SnapshotStream, engine, write_snapshot


@contextmanager
def take_snapshot(store: CollectionStore, name: str) -> Iterator[SnapshotStream]:
    """The collection as it is now; searches and additions go on while the pieces are read, inside
    the block. Raises NotFound, Exhausted for a disk without room for a copy, EnvironmentFault."""
    with store.copied(name) as (record, points, shard):
        with disk_failures(f"The collection {name!r} can't be read"):
            stream = write_snapshot(record, points, shard)
        yield stream


def restore_snapshot(store: CollectionStore, name: str, pieces: Iterable[bytes]) -> Collection:
    """A new collection of the snapshot, called `name` or, where that is empty, as it was. Until all
    of it was checked nobody sees it, and after a failure nothing is left.

    Raises BadInput where the name is taken and for what is no snapshot, IntegrityError where it is
    damaged, EnvironmentFault where a newer release wrote it, Exhausted for a full disk.
    """
    reader = SnapshotReader(pieces)
    name = name or reader.index.collection
    check_name(name)

    def fill(folder: Path) -> None:
        record = CollectionRecord(
            name=name,
            space_id=reader.index.space_id,
            dimension=reader.index.dimension,
            created_at=reader.index.created_at,
            shard=new_shard_name(),
            extents=reader.index.extents,
        )
        reader.write_files(folder / record.shard)
        _check_points(folder / record.shard, reader.index)
        write_record(folder, record)

    return store.adopt(name, fill)


def _check_points(shard: Path, index: SnapshotIndex) -> None:
    try:
        found = check_shard(shard)
    except IntegrityError as e:
        raise IntegrityError(
            f"The points of the snapshot can't be opened here: {e} {index.engine} wrote them and "
            f"this node has {engine()}."
        ) from e
    if found.points != index.points or found.dimension not in (None, index.dimension):
        raise IntegrityError(
            f"The snapshot holds {found.points} points of {found.dimension} dimensions; its index "
            f"says {index.points} of {index.dimension}."
        )
