"""The one door to Qdrant Edge, which is a beta: nothing else in rsq imports it.

Facts of release 0.9.0, measured, that the callers rest on:
- every call holds Python's interpreter lock to its end, `optimize` for seconds to minutes, so it
  is run in a process of its own (`rsq_agent.shard_optimizer`);
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

URI = "uri"
ARTIFACT = "artifact_id"
STAMP = "stamp"

# Below this many points every vector is compared, which is exact and takes about a millisecond at
# 768 dimensions; above it the graph is faster.
EXACT_POINTS = 10_000

# Measured at 100,000 x 768: recall@10 of 1.000 at 0.17 ms a query.
_HNSW_EF = 128
_OVERSAMPLING = 2.0
# Qdrant's defaults for the graph.
_HNSW_M = 16
_HNSW_EF_CONSTRUCT = 100
# Clips the outermost percent of values, so that int8 steps are not spent on outliers.
_INT8_QUANTILE = 0.99
# Calls hold the interpreter lock, so one search runs at a time: a large pool would only idle.
_SEARCH_THREADS = 2
_MAX_ARTIFACTS = 10_000


@dataclass(frozen=True)
class ShardPoint:
    id: UUID
    vector: NDArray[np.float32]  # [dim]
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class ShardHit:
    score: float
    payload: dict[str, Any]


class Shard:
    """A folder of points that this process has open. Not for use after `close`."""

    def __init__(self, path: Path, shard: edge.EdgeShard) -> None:
        self._path = path
        self._shard = shard

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
            max_search_threads=_SEARCH_THREADS,
        )
        with _faults("create"):
            shard = edge.EdgeShard.create(str(path), config)
            shard.update(
                edge.UpdateOperation.create_field_index(URI, edge.KeywordIndexParams(prefix=True))
            )
            shard.update(
                edge.UpdateOperation.create_field_index(ARTIFACT, edge.PayloadSchemaType.Keyword)
            )
        return cls(path, shard)

    @classmethod
    def load(cls, path: Path) -> Shard:
        """Raises EnvironmentFault where another process has it, IntegrityError where it is
        damaged."""
        if not (path / "edge_config.json").is_file():
            raise IntegrityError(f"The folder {path} of this collection's points is missing.")
        try:
            return cls(path, edge.EdgeShard.load(str(path)))
        except Exception as e:
            if "WouldBlock" in str(e):
                raise EnvironmentFault(f"Another process has {path} open.") from e
            raise IntegrityError(f"The points in {path} are damaged; index again.") from e

    def upsert(self, points: Sequence[ShardPoint]) -> None:
        """Inserts or replaces by id; all of them or, after a crash, none."""
        batch = [edge.Point(p.id, p.vector.tolist(), dict(p.payload)) for p in points]
        with _faults("update"):
            self._shard.update(edge.UpdateOperation.upsert_points(batch))

    def search(
        self, vector: NDArray[np.float32], *, limit: int, offset: int, min_score: float | None
    ) -> list[ShardHit]:
        """The best points by cosine, best first; exact below EXACT_POINTS."""
        with _faults("search"):
            exact = self._shard.info().points_count < EXACT_POINTS
            params = (
                edge.SearchParams(exact=True)
                if exact
                else edge.SearchParams(
                    hnsw_ef=max(_HNSW_EF, limit + offset),
                    quantization=edge.QuantizationSearchParams(
                        rescore=True, oversampling=_OVERSAMPLING
                    ),
                )
            )
            found = self._shard.search(
                edge.SearchRequest(
                    query=edge.Query.Nearest(vector.tolist()),
                    limit=limit,
                    offset=offset,
                    params=params,
                    with_payload=True,
                    score_threshold=min_score,
                )
            )
        return [ShardHit(float(hit.score), dict(hit.payload or {})) for hit in found]

    def stamps(self, ids: Sequence[UUID]) -> dict[UUID, str]:
        """The stamp of each of `ids` that is stored, empty where it has none."""
        with _faults("lookup"):
            records = self._shard.retrieve(list(ids), with_payload=True, with_vector=False)
        return {UUID(str(r.id)): (r.payload or {}).get(STAMP, "") for r in records}

    def delete_uris(self, uris: Sequence[str]) -> int:
        """Deletes every point of these uris; returns how many there were."""
        return self._delete(edge.FieldCondition(URI, match=edge.MatchAny(list(uris))))

    def delete_prefix(self, prefix: str) -> int:
        """Deletes every point whose uri starts with `prefix`; returns how many there were."""
        return self._delete(edge.FieldCondition(URI, match=edge.MatchPrefix(prefix)))

    def count(self) -> int:
        with _faults("count"):
            return self._shard.count(edge.CountRequest(exact=True))

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
            for name in os.listdir(log):
                descriptor = os.open(log / name, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
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

    def _delete(self, condition: edge.FieldCondition) -> int:
        chosen = edge.Filter(must=[condition])
        with _faults("delete"):
            count = self._shard.count(edge.CountRequest(exact=True, filter=chosen))
            self._shard.update(edge.UpdateOperation.delete_points_by_filter(chosen))
        return count


@contextmanager
def _faults(action: str) -> Iterator[None]:
    try:
        yield
    except RsqError:
        raise
    except Exception as e:
        raise InternalError(f"Qdrant Edge failed at {action}: {e}") from e
