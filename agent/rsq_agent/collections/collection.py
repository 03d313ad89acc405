"""One collection: vectors of one space id with their payload, searched by cosine.

Folder of a collection:
    collection.json        what it is, and which shard folder is in use
    shard-<16 hex>/        the points, a Qdrant Edge shard

Threads may call everything at once. Searches go on while points are added and while an index is
built; additions wait for a build. A build works on a copy in a process of its own and the record is
then switched to it, so that a crash leaves the old points or the new, and never neither.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from rsq.errors import BadInput, EnvironmentFault, RsqError
from rsq.retrieval import (
    Origin,
    SearchFilter,
    StoredRecord,
    Window,
    payload_from_json,
)
from rsq_agent.collections.collection_interface import EVERYTHING, CollectionStats
from rsq_agent.collections.collection_record import (
    CollectionRecord,
    new_shard_name,
    read_record,
    write_record,
)
from rsq_agent.collections.index_points import (
    Hit,
    IndexPoint,
    admit_points,
    check_space,
    check_uri,
    check_vector,
    point_id,
    require_stored,
)
from rsq_agent.collections.read_ahead import read_ahead
from rsq_agent.collections.shard import EXACT_POINTS, Shard, ShardPoint
from rsq_agent.collections.shard_builder import ShardBuilder
from rsq_agent.collections.shard_search import search_shard
from rsq_agent.collections.sparse_copy import allocated_bytes
from rsq_agent.collections.stored_payload import stored_payload, to_hit

# An update holds the interpreter lock: about 6 ms for so many points of 256 dimensions.
_UPDATE_POINTS = 256
# Two files of Qdrant Edge's log; replaying so much takes one to two seconds.
_FLUSH_BYTES = 64 << 20


class Collection:
    """An open collection, from `CollectionStore`. Every method raises EnvironmentFault once the
    collection is closed."""

    def __init__(self, folder: Path) -> None:
        """Opens the collection in `folder`; raises IntegrityError where it is damaged, Exhausted
        where the disk is full, and EnvironmentFault where another process has it or a newer rsq
        wrote it."""
        self._folder = folder
        self._record = read_record(folder)
        self._remove_other_shards()
        self._builder = ShardBuilder(folder, self.name)
        self._builder.require_room_to_open()
        self._shard = Shard.load(folder / self._record.shard)
        read_ahead(folder / self._record.shard)
        self._pending = self._shard.count_unindexed()
        self._unflushed_bytes = 0
        # Held by whatever changes points, for as long as it takes.
        self._writing = threading.Lock()
        # Held for single calls into the shard. They hold the interpreter lock in any case, so this
        # costs nothing and keeps the shard from being closed under a search.
        self._access = threading.Lock()
        self._changes = 0  # additions and deletions since it was opened
        self._retired = False  # another collection took its place
        self._closed = False  # nothing new is begun
        self._released = False  # the shard is closed too

    @property
    def name(self) -> str:
        """As its users know it; the folder's name may go on after a dot."""
        return self._record.name.partition(".")[0]

    @property
    def changes(self) -> int:
        """Grows with every addition and deletion."""
        return self._changes

    @property
    def space_id(self) -> str:
        return self._record.space_id

    @property
    def dimension(self) -> int:
        return self._record.dimension

    @property
    def search_width(self) -> int:
        with self._open_shard() as shard:
            return shard.widths.plain.far

    def add(self, points: Sequence[IndexPoint]) -> None:
        """Inserts or, where uri and window agree, replaces; durable when it returns.

        Raises BadInput and SpaceMismatch before anything is stored, and Exhausted when the disk is
        nearly full. A crash meanwhile may keep a first part of `points`; add them again.
        """
        rows = admit_points(points, space_id=self.space_id, dimension=self.dimension)
        if not rows:
            return
        batch = list(rows.items())
        size_bytes = len(batch) * self.dimension * 4
        with self._changing():
            self._builder.require_room_to_add(size_bytes)
            # Before the points, so that no search misses one.
            self._include([point for point, _ in rows.values()])
            for start in range(0, len(batch), _UPDATE_POINTS):
                update = [
                    ShardPoint(key, vector, stored_payload(point))
                    for key, (point, vector) in batch[start : start + _UPDATE_POINTS]
                ]
                with self._open_shard() as shard:
                    shard.upsert(update)
                self._pending += len(update)
            self._save(size_bytes)

    def search(
        self,
        vector: NDArray[np.float32],
        *,
        space_id: str,
        limit: int,
        offset: int = 0,
        min_score: float | None = None,
        where: SearchFilter = EVERYTHING,
        without_uris: Sequence[str] = (),
        exact: bool = False,
        with_vectors: bool = False,
    ) -> list[Hit]:
        """The best `limit` points by cosine to `vector` float32 [dim] after `offset` better ones,
        among those that meet `where`; of its polygon only the bounding box is looked at. None is of
        `without_uris`.

        Exact where asked for and below EXACT_POINTS points; above, as wide in the graph as holds
        the recall that `width_tuning` aims at. Raises BadInput for a vector that is not finite, is
        zero or has another dimension, and SpaceMismatch for another space id.
        """
        check_space(space_id, self.space_id)
        query = check_vector(vector, self.dimension)
        if not np.linalg.norm(query) > 0:
            raise BadInput("The query vector is zero.")
        with self._open_shard() as shard:
            return search_shard(
                shard,
                query,
                where=where,
                extents=self._record.extents,
                limit=limit,
                offset=offset,
                min_score=min_score,
                without_uris=without_uris,
                exact=exact,
                with_vectors=with_vectors,
            )

    def stored_vector(self, origin: Origin) -> NDArray[np.float32]:
        """float32 [dim], normalised; raises NotFound where it is not stored."""
        with self._open_shard() as shard:
            vector = shard.vector(point_id(check_uri(origin.uri), origin.window))
        return require_stored(vector, origin, self.name)

    def find_stored(self, origins: Sequence[Origin]) -> list[bool]:
        """For each of `origins` whether it is stored, with its stamp where it has one."""
        ids = [point_id(check_uri(origin.uri), origin.window) for origin in origins]
        with self._open_shard() as shard:
            stamps = shard.stamps(ids)
        return [
            key in stamps and origin.stamp in ("", stamps[key])
            for key, origin in zip(ids, origins, strict=True)
        ]

    def scroll(self, start: UUID | None, *, limit: int) -> tuple[list[StoredRecord], UUID | None]:
        """Up to `limit` records from the id `start` on (None: the first), in the order of their
        ids, and the id to go on from; None at the end. What is added meanwhile may be missed."""
        with self._open_shard() as shard:
            points, following = shard.scroll(start, limit=limit)
        records = []
        for point in points:
            hit = to_hit(0.0, dict(point.payload), point.vector)
            payload = payload_from_json(hit.payload)
            records.append(StoredRecord(hit.uri, payload, hit.artifact_id, point.vector))
        return records, following

    def delete(self, uris: Sequence[str]) -> int:
        """Deletes every window of every given uri, durably; returns how many points went."""
        for uri in uris:
            check_uri(uri)
        if not uris:
            return 0
        with self._changing():
            with self._open_shard() as shard:
                deleted = shard.delete_uris(uris)
            self._save(0)
        return deleted

    def delete_outdated(self, origins: Sequence[Origin]) -> int:
        """Deletes the points of the uris of `origins` that have another stamp, durably; returns how
        many went."""
        for origin in origins:
            check_uri(origin.uri)
        deleted = 0
        with self._changing():
            for origin in origins:
                with self._open_shard() as shard:
                    deleted += shard.delete_outdated(origin.uri, origin.stamp)
            if deleted:
                self._save(0)
        return deleted

    def delete_prefix(self, prefix: str) -> int:
        """Deletes every point whose uri starts with `prefix`, durably; returns how many went.

        The prefix is text, not a folder: "/a/b" takes "/a/bc.jpg" too, "/a/b/" does not.
        """
        check_uri(prefix)
        with self._changing():
            with self._open_shard() as shard:
                deleted = shard.delete_prefix(prefix)
            self._save(0)
        return deleted

    def delete_tiles(self, tiles: Sequence[tuple[str, Window | None]]) -> None:
        """Deletes the points of these uris and windows alone, durably."""
        with self._changing():
            with self._open_shard() as shard:
                shard.delete_points([point_id(uri, window) for uri, window in tiles])
            self._save(0)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Additions and deletions wait inside the block; searches go on."""
        with self._writing:
            yield

    def retire(self, retired: bool) -> None:
        """From now on additions and deletions are refused, or accepted again."""
        self._retired = retired

    def count(self) -> int:
        with self._open_shard() as shard:
            return shard.count()

    def stats(self) -> CollectionStats:
        """Everything counted now, from the shard itself."""
        with self._open_shard() as shard:
            points, artifacts = shard.count(), shard.count_by_artifact()
        return CollectionStats(
            points=points,
            bytes_on_disk=allocated_bytes(self._folder),
            space_id=self.space_id,
            dimension=self.dimension,
            artifacts=artifacts,
        )

    def flush(self) -> None:
        """Writes everything out, so that opening has nothing to replay. What was added or deleted
        is durable without it."""
        with self._writing, self._open_shard() as shard:
            shard.flush()
            self._unflushed_bytes = 0

    def optimize(self) -> bool:
        """Builds the graph where enough points wait for it; returns whether it did.

        Nothing happens while fewer than EXACT_POINTS vectors are outside the graph: comparing them
        all is as fast. The build takes seconds to minutes and twice the disk; searches go on,
        additions wait. Raises Exhausted for a full disk and EnvironmentFault where the build fails
        or the collection is closed under it; the points are then as before.
        """
        with self._writing:
            if self._pending < EXACT_POINTS:
                return False
            self._rebuild()
            return True

    def compact(self) -> tuple[int, int]:
        """As `optimize`, but now, however few points wait for it; what was deleted gives its room
        back. Returns the bytes on disk before and after."""
        with self._writing:
            before = allocated_bytes(self._folder)
            self._rebuild()
            return before, allocated_bytes(self._folder)

    def copy_shard(self, target: Path) -> tuple[CollectionRecord, int]:
        """Copies the points to the folder `target`, which must not exist, as they are at one
        moment; additions wait meanwhile. Returns the record and the number of points. Raises
        Exhausted for a full disk, EnvironmentFault where they can't be copied."""
        with self._writing:
            with self._open_shard() as shard:
                shard.flush()
                points = shard.count()
            self._builder.copy(self._folder / self._record.shard, target)
            return self._record, points

    def close(self) -> None:
        """Ends a running index build, flushes and lets go of the folder. Harmless twice."""
        self._closed = True
        self._builder.stop()
        with self._writing, self._access:
            if not self._released:
                self._released = True
                self._shard.close()

    def _rebuild(self) -> None:
        """Puts a shard with a new graph in the place of the old one; `self._writing` is held."""
        with self._open_shard() as shard:
            shard.flush()
        record = replace(self._record, shard=new_shard_name())
        built = self._folder / record.shard
        try:
            self._builder.build(self._folder / self._record.shard, built)
            with self._open_shard():
                new = Shard.load(built)
                try:
                    write_record(self._folder, record)
                except RsqError:
                    new.close()
                    raise
                old, self._shard, self._record = self._shard, new, record
                self._pending = new.count_unindexed()
                self._unflushed_bytes = 0
                old.close()
        finally:
            self._remove_other_shards()

    @contextmanager
    def _open_shard(self) -> Iterator[Shard]:
        with self._access:
            if self._closed:
                raise EnvironmentFault(f"The collection {self.name!r} is closed.")
            yield self._shard

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._writing:
            if self._retired:
                raise EnvironmentFault(
                    f"The collection {self.name!r} moved to another model's space meanwhile; send "
                    "it again."
                )
            self._changes += 1
            yield

    def _include(self, points: Sequence[IndexPoint]) -> None:
        """Bounds that are too wide only cost time, so no deletion narrows them."""
        extents = self._record.extents
        for point in points:
            if point.bbox is not None:
                extents = extents.including(point.bbox, point.datetime)
        if extents != self._record.extents:
            record = replace(self._record, extents=extents)
            write_record(self._folder, record)
            self._record = record

    def _save(self, size_bytes: int) -> None:
        """Makes the last update durable; `self._writing` is held. The log is on the disk after
        this, and now and then everything, so that opening never replays much."""
        self._unflushed_bytes += size_bytes
        if self._unflushed_bytes < _FLUSH_BYTES:
            self._shard.sync_log()
            return
        with self._open_shard() as shard:
            shard.flush()
            self._unflushed_bytes = 0

    def _remove_other_shards(self) -> None:
        for path in self._folder.glob("shard-*"):
            if path.name != self._record.shard:
                shutil.rmtree(path, ignore_errors=True)
