"""The images of one collection embedded again into another, until nothing is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rsq.errors import EnvironmentFault, Interrupted, RsqError
from rsq.retrieval import Origin, StoredRecord
from rsq_agent.collections.collection import Collection
from rsq_agent.collections.index_points import IndexPoint
from rsq_agent.indexing.roots import Roots
from rsq_agent.indexing.stored_images import StoredImages

_PAGE_RECORDS = 64  # looked up at once
_GROUP_IMAGES = 16  # in memory at once

# Encoded images -> what made the vectors, and a vector or an error for each.
Embed = Callable[[list[bytes]], tuple[str, list[NDArray[np.float32] | RsqError]]]


class Reembedding:
    def __init__(
        self,
        source: Collection,
        shadow: Collection,
        *,
        roots: Roots,
        embed: Embed,
        is_stopped: Callable[[], bool],
    ) -> None:
        self._source = source
        self._shadow = shadow
        self._roots = roots
        self._embed = embed
        self._is_stopped = is_stopped
        self._images = StoredImages()
        self.failures: list[RsqError] = []  # of the last pass, one an image

    def run(self) -> int:
        """Passes until one finds nothing to do; returns `source.changes` from before that one.

        Raises Interrupted once stopped, Exhausted for a full disk, SpaceMismatch where the model
        went. An image that can't be read costs itself only.
        """
        while True:
            changes = self._source.changes
            removed, added = self._remove_gone(), self._add_missing()
            if not removed and not added:
                return changes

    def add_missing(self) -> int:
        """As `run`, but what the source has no more stays."""
        while True:
            changes = self._source.changes
            if not self._add_missing():
                return changes

    def _remove_gone(self) -> int:
        """What the source has no more, or has another content of by now."""
        removed = 0
        for records in _pages(self._shadow):
            self._require_running()
            there = self._source.find_stored([_origin(record) for record in records])
            gone = [
                (record.uri, record.payload.window)
                for record, is_there in zip(records, there, strict=True)
                if not is_there
            ]
            if gone:
                self._shadow.delete_tiles(gone)
                removed += len(gone)
        return removed

    def _add_missing(self) -> int:
        added = 0
        self.failures = []
        for records in _pages(self._source):
            there = self._shadow.find_stored([_origin(record) for record in records])
            missing = [
                record for record, is_there in zip(records, there, strict=True) if not is_there
            ]
            for start in range(0, len(missing), _GROUP_IMAGES):
                self._require_running()
                added += self._add(missing[start : start + _GROUP_IMAGES])
        return added

    def _add(self, records: list[StoredRecord]) -> int:
        readable, images = [], []
        for record in records:
            try:
                images.append(self._read(_origin(record)))
            except RsqError as e:
                self.failures.append(e)
            else:
                readable.append(record)
        if not images:
            return 0
        artifact_id, rows = self._embed(images)
        points = []
        for record, row in zip(readable, rows, strict=True):
            if isinstance(row, RsqError):
                self.failures.append(row)
                continue
            payload = record.payload
            points.append(
                IndexPoint(
                    uri=record.uri,
                    vector=row,
                    artifact_id=artifact_id,
                    space_id=self._shadow.space_id,
                    window=payload.window,
                    bbox=payload.bbox,
                    datetime=payload.datetime,
                    tags=payload.tags,
                    footprint=payload.footprint,
                    stamp=payload.stamp,
                )
            )
        self._shadow.add(points)
        return len(points)

    def _read(self, origin: Origin) -> bytes:
        path = self._roots.check(origin.uri)
        try:
            return self._images.read(replace(origin, uri=str(path)))
        except OSError as e:
            raise EnvironmentFault(f"{origin.uri} can't be read: {e.strerror or e}.") from e

    def _require_running(self) -> None:
        if self._is_stopped():
            raise Interrupted("The migration was stopped.")


def _origin(record: StoredRecord) -> Origin:
    return Origin(record.uri, record.payload.window, record.payload.stamp)


def _pages(collection: Collection) -> Iterator[list[StoredRecord]]:
    start = None
    while True:
        records, start = collection.scroll(start, limit=_PAGE_RECORDS)
        yield records
        if start is None:
            return
