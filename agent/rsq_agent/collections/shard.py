"""The one door to Qdrant Edge, which is a beta: nothing else in rsq imports it, but the filters of
`rsq_agent.collections.shard_filter`.

Facts of release 0.9.0, measured, that the callers rest on:
- every call holds Python's interpreter lock to its end, `optimize` for seconds to minutes, so it
  is run in a process of its own (`rsq_agent.collections.shard_optimizer`);
- an update is in the memory-mapped write-ahead log when it returns, which outlives the process but
  not the power. Loading replays the log, so it alone has to reach the disk: `sync_log` does that
  without the interpreter lock and about ten times faster than `flush`, which writes everything;
- NaN is accepted, so vectors are checked before they come here;
- the write-ahead log is locked: a second open of one folder fails, in this process or another.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray

from rsq.durable import sync_folder
from rsq.errors import EnvironmentFault, IntegrityError, InternalError, RsqError
from rsq_agent.collections.conditions import Condition
from rsq_agent.collections.search_widths import (
    WIDE_SHARE,
    SearchWidths,
    WidthPair,
    read_widths,
)
from rsq_agent.collections.shard_filter import to_edge_filter
from rsq_agent.collections.stored_payload import ARTIFACT, STAMP, TAGS, TIME, URI
from rsq_agent.collections.stored_place import LARGE_MIDDLE, MIDDLE, PLACE_IN_YEAR

# Below this many points every vector is compared, which is exact and takes about a millisecond at
# 768 dimensions; above it the graph is faster. Where a filter leaves so few of a graph's points,
# these are compared too, by int8 first: of a point's up to 2 x 16 neighbours too few are then left,
# and the way to the best is lost.
EXACT_POINTS = 10_000
# By what is estimated: as a rule, and for conditions that depend on each other, since estimates
# take them for independent and are too low by as much as the one leaves of the other.
_SURELY_COMPARED, _SURELY_COMPARED_DEPENDENT = EXACT_POINTS / 2, EXACT_POINTS / 10

# A query whose tenth hit is at least so close is near what it looks for, and a small width finds it
# all. The graph loses more of what lies further away.
_NEAR_COSINE = 0.7
_TOLD_BY_HITS = 10
_MAX_NEAR_HITS = 20  # widths are measured for ten
# How many candidates by int8, per hit, are compared by float32. At 100,000 x 256 of real embeddings
# plus noise recall@10 stays below 0.994 with 2.0, however wide; 3.0 takes no longer.
_OVERSAMPLING = 3.0
# Qdrant's defaults for the graph.
_HNSW_M = 16
_HNSW_EF_CONSTRUCT = 100
# Clips the outermost percent of values, so that int8 steps are not spent on outliers.
_INT8_QUANTILE = 0.99
# Calls hold the interpreter lock, so one search runs at a time. With a second thread, which waits
# for work by spinning, it took 0.30 ms of CPU instead of 0.19.
_SEARCH_THREADS = 1
_MAX_ARTIFACTS = 10_000
_INDEXES: dict[str, edge.PayloadSchemaType | edge.KeywordIndexParams] = {
    URI: edge.KeywordIndexParams(prefix=True),
    ARTIFACT: edge.PayloadSchemaType.Keyword,
    TIME: edge.PayloadSchemaType.Datetime,
    TAGS: edge.PayloadSchemaType.Keyword,
    MIDDLE: edge.PayloadSchemaType.Geo,
    LARGE_MIDDLE: edge.PayloadSchemaType.Geo,
    PLACE_IN_YEAR: edge.PayloadSchemaType.Float,
}


@dataclass(frozen=True)
class ShardPoint:
    id: UUID
    vector: NDArray[np.float32]  # [dim]
    payload: Mapping[str, Any]


@dataclass
class _SearchRequest:
    """As Qdrant Edge takes it, but for how it is searched."""

    query: edge.Query
    limit: int
    offset: int
    filter: edge.Filter | None
    score_threshold: float | None
    with_vector: bool


@dataclass(frozen=True)
class ShardHit:
    score: float
    payload: dict[str, Any]
    vector: NDArray[np.float32] | None = None  # [dim], where asked for


class Shard:
    """A folder of points that this process has open. Not for use after `close`."""

    def __init__(self, path: Path, shard: edge.EdgeShard) -> None:
        self._path = path
        self._shard = shard
        self._widths = read_widths(path)
        self._known_points: int | None = None

    @classmethod
    def create(cls, path: Path, dimension: int) -> Shard:
        """A new, empty shard for float32 vectors of `dimension` at `path`, compared by cosine.

        Durable once flushed or closed."""
        path.mkdir(parents=True)
        vector_kib = EXACT_POINTS * dimension * 4 // 1024
        config = edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine),
            hnsw_config=edge.HnswIndexConfig(
                m=_HNSW_M,
                ef_construct=_HNSW_EF_CONSTRUCT,
                full_scan_threshold=max(1, vector_kib),
            ),
            quantization_config=edge.ScalarQuantizationConfig(
                edge.ScalarType.Int8, quantile=_INT8_QUANTILE, memory=edge.Memory.Pinned
            ),
            optimizers=edge.EdgeOptimizersConfig(
                default_segment_number=1,
                # Strictly below the size at which `optimize` is asked for, so that it never
                # finds nothing to do.
                indexing_threshold=max(1, vector_kib // 2),
            ),
            # Cold ones leave the page cache at each opening: ten hits were ten reads of the disk.
            payload_memory=edge.Memory.Cached,
            max_search_threads=_SEARCH_THREADS,
        )
        with _faults("create"):
            shard = edge.EdgeShard.create(str(path), config)
            _create_indexes(shard)
        return cls(path, shard)

    @classmethod
    def load(cls, path: Path) -> Shard:
        """Makes the indexes that are missing. Raises EnvironmentFault where another process has it,
        IntegrityError where it is damaged."""
        if not (path / "edge_config.json").is_file():
            raise IntegrityError(f"The folder {path} of this collection's points is missing.")
        try:
            shard = edge.EdgeShard.load(str(path))
        except Exception as e:
            if "WouldBlock" in str(e):
                raise EnvironmentFault(f"Another process has {path} open.") from e
            raise IntegrityError(f"The points in {path} are damaged; index again.") from e
        with _faults("index"):
            _create_indexes(shard)
        return cls(path, shard)

    @property
    def widths(self) -> SearchWidths:
        return self._widths

    def upsert(self, points: Sequence[ShardPoint]) -> None:
        """Inserts or replaces by id; all of them or, after a crash, none."""
        batch = [edge.Point(p.id, p.vector.tolist(), dict(p.payload)) for p in points]
        with _faults("update"):
            self._update(edge.UpdateOperation.upsert_points(batch))

    def search(
        self,
        vector: NDArray[np.float32],
        *,
        limit: int,
        offset: int = 0,
        spare: int = 0,
        min_score: float | None = None,
        conditions: Sequence[Condition] = (),
        without_uris: Sequence[str] = (),
        dependent: bool = False,
        exact: bool = False,
        with_vectors: bool = False,
        width: int | None = None,
    ) -> list[ShardHit]:
        """The best points by cosine, best first; always exact below EXACT_POINTS. The graph is
        searched as wide as was measured to be enough, or `width`. `spare` more may come back, for
        whose order nothing is promised beyond what int8 gives. `dependent` tells of `conditions`
        that say much about each other."""
        request = _SearchRequest(
            query=edge.Query.Nearest(vector.tolist()),
            limit=limit + spare,
            offset=offset,
            filter=to_edge_filter(conditions, without_uris),
            score_threshold=min_score,
            with_vector=with_vectors,
        )
        if exact or self._points() < EXACT_POINTS:
            return self._ask(request, edge.SearchParams(exact=True))
        returned = limit + offset + spare
        oversampling = (_OVERSAMPLING * (limit + offset) + spare) / returned
        if width is not None:
            return self._ask(request, _search_params(max(width, returned), oversampling))
        pair = self._choose_widths(request.filter, dependent)
        if pair.near < pair.far and limit + offset <= _MAX_NEAR_HITS:
            # As wide as what comes back, the last of it is found by chance.
            near = max(pair.near, 2 * returned)
            found = self._ask(request, _search_params(near, oversampling))
            if are_near(found, limit):
                return found
        far = max(pair.far, limit + offset + returned)
        return self._ask(request, _search_params(far, oversampling))

    def vector(self, key: UUID) -> NDArray[np.float32] | None:
        """float32 [dim], normalised; None where there is no such point."""
        with _faults("lookup"):
            records = self._shard.retrieve([key], with_payload=False, with_vector=True)
        return np.array(records[0].vector, np.float32) if records else None

    def stamps(self, ids: Sequence[UUID]) -> dict[UUID, str]:
        """The stamp of each of `ids` that is stored, empty where it has none."""
        with _faults("lookup"):
            records = self._shard.retrieve(list(ids), with_payload=True, with_vector=False)
        return {UUID(str(r.id)): (r.payload or {}).get(STAMP, "") for r in records}

    def scroll(self, start: UUID | None, *, limit: int) -> tuple[list[ShardPoint], UUID | None]:
        """Up to `limit` points from the id `start` on (None: the first), in the order of their ids,
        and the id to go on from; None at the end."""
        request = edge.ScrollRequest(offset=start, limit=limit, with_payload=True, with_vector=True)
        with _faults("scroll"):
            records, following = self._shard.scroll(request)
            points = [
                ShardPoint(UUID(str(r.id)), np.asarray(r.vector, np.float32), dict(r.payload or {}))
                for r in records
            ]
        return points, None if following is None else UUID(str(following))

    def delete_points(self, ids: Sequence[UUID]) -> None:
        with _faults("delete"):
            self._update(edge.UpdateOperation.delete_points(list(ids)))

    def delete_uris(self, uris: Sequence[str]) -> int:
        """Deletes every point of these uris; returns how many there were."""
        return self._delete(edge.FieldCondition(URI, match=edge.MatchAny(list(uris))))

    def delete_outdated(self, uri: str, stamp: str) -> int:
        """Deletes the points of `uri` with another stamp; returns how many there were."""
        current = edge.FieldCondition(STAMP, match=edge.MatchValue(stamp))
        return self._delete(edge.FieldCondition(URI, match=edge.MatchValue(uri)), current)

    def delete_prefix(self, prefix: str) -> int:
        """Deletes every point whose uri starts with `prefix`; returns how many there were."""
        return self._delete(edge.FieldCondition(URI, match=edge.MatchPrefix(prefix)))

    def count(self) -> int:
        with _faults("count"):
            return self._shard.count(edge.CountRequest(exact=True))

    def estimate(self, conditions: Sequence[Condition]) -> int:
        """About how many points meet `conditions`, at least one, by the indexes alone; takes some
        hundredths of a millisecond."""
        chosen = to_edge_filter(conditions)
        assert chosen is not None
        return self._estimate(chosen)

    def count_unindexed(self) -> int:
        """Points that the graph does not hold yet; replaced points can hide some."""
        with _faults("info"):
            info = self._shard.info()
        return max(0, info.points_count - info.indexed_vectors_count)

    def count_by_artifact(self) -> dict[str, int]:
        with _faults("count"):
            response = self._shard.facet(
                edge.FacetRequest(key=ARTIFACT, limit=_MAX_ARTIFACTS, exact=True)
            )
        # A value whose points are all gone is still listed, with 0.
        return {str(hit.value): hit.count for hit in response.hits if hit.count}

    def sync_log(self) -> None:
        """Returns once every update so far survives a power cut; loading replays it then.

        May run beside reads, not beside updates. Raises EnvironmentFault where the disk fails.
        """
        log = self._path / "wal"
        try:
            while not _sync_files(log):  # Qdrant Edge makes the next file beside updates
                pass
            sync_folder(log)
        except OSError as e:
            raise EnvironmentFault(f"The points in {self._path} can't be saved: {e}.") from e

    def flush(self) -> None:
        """Returns once everything is on the disk, so that loading has nothing to replay."""
        with _faults("flush"):
            self._shard.flush()

    def optimize(self) -> None:
        """Builds the graph. Holds the interpreter lock all the while."""
        with _faults("index build"):
            self._shard.optimize()

    def close(self) -> None:
        with _faults("close"):
            self._shard.flush()
            self._shard.close()

    def _choose_widths(self, chosen: edge.Filter | None, dependent: bool) -> WidthPair:
        """By how much the indexes of the payload say that the filter leaves."""
        if chosen is None:
            return self._widths.plain
        found = self._estimate(chosen)
        if found <= (_SURELY_COMPARED_DEPENDENT if dependent else _SURELY_COMPARED):
            # No width matters then, and a second search is in vain.
            return WidthPair(self._widths.narrow.far, self._widths.narrow.far)
        return self._widths.wide if found >= self._points() * WIDE_SHARE else self._widths.narrow

    def _estimate(self, chosen: edge.Filter) -> int:
        with _faults("count"):
            return self._shard.count(edge.CountRequest(exact=False, filter=chosen))

    def _update(self, operation: edge.UpdateOperation) -> None:
        self._known_points = None
        self._shard.update(operation)

    def _points(self) -> int:
        if self._known_points is None:
            with _faults("info"):
                self._known_points = self._shard.info().points_count
        return self._known_points

    def _ask(self, request: _SearchRequest, params: edge.SearchParams) -> list[ShardHit]:
        with _faults("search"):
            found = self._shard.search(
                edge.SearchRequest(**vars(request), params=params, with_payload=True)
            )
        return [
            ShardHit(
                float(hit.score),
                dict(hit.payload or {}),
                np.array(hit.vector, np.float32) if request.with_vector else None,
            )
            for hit in found
        ]

    def _delete(
        self, condition: edge.FieldCondition, unless: edge.FieldCondition | None = None
    ) -> int:
        chosen = edge.Filter(must=[condition], must_not=[unless] if unless else None)
        with _faults("delete"):
            count = self._shard.count(edge.CountRequest(exact=True, filter=chosen))
            if count:
                self._update(edge.UpdateOperation.delete_points_by_filter(chosen))
        return count


def are_near(hits: Sequence[ShardHit], limit: int) -> bool:
    """Whether `hits`, best first of `limit` asked for, lie near their query."""
    place = min(limit, _TOLD_BY_HITS) - 1
    return len(hits) > place and hits[place].score >= _NEAR_COSINE


def _sync_files(folder: Path) -> bool:
    """False where one was renamed before it was reached, and has to be looked for again."""
    for name in os.listdir(folder):
        try:
            descriptor = os.open(folder / name, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return True


def _search_params(width: int, oversampling: float) -> edge.SearchParams:
    return edge.SearchParams(
        hnsw_ef=width,
        quantization=edge.QuantizationSearchParams(rescore=True, oversampling=oversampling),
    )


def _create_indexes(shard: edge.EdgeShard) -> None:
    made = shard.info().payload_schema
    for key, kind in _INDEXES.items():
        if key not in made:
            shard.update(edge.UpdateOperation.create_field_index(key, kind))


@contextmanager
def _faults(action: str) -> Iterator[None]:
    try:
        yield
    except RsqError:
        raise
    except Exception as e:
        raise InternalError(f"Qdrant Edge failed at {action}: {e}") from e
