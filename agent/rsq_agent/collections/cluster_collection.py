"""One collection in a Qdrant cluster, with the calls of `rsq_agent.collections.collection`.

Facts that the callers rest on: an update is acknowledged once the cluster has applied it, and other
agents may change the collection meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from rsq.errors import BadInput, EnvironmentFault, NotFound, RsqError, Unreachable
from rsq.retrieval import Origin, SearchFilter, StoredRecord, payload_from_json
from rsq_agent.collections.cluster_filter import to_cluster_filter
from rsq_agent.collections.cluster_payload import cluster_hit, cluster_payload, side_conditions
from rsq_agent.collections.collection_interface import EVERYTHING, CollectionStats
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
from rsq_agent.collections.search_filter import find_conditions
from rsq_agent.collections.stored_payload import ARTIFACT, STAMP, URI

METADATA = "rsq"  # what of a collection's metadata is ours: {"space_id": ...}

_UPDATE_POINTS = 256
_SEARCH_WIDTH = 128  # hnsw_ef, as on a node
_MAX_ARTIFACTS = 10_000


class ClusterCollection:
    """From `ClusterStore`. Every method raises Unreachable where the cluster doesn't answer and
    NotFound where the collection is gone."""

    def __init__(self, client: QdrantClient, name: str, space_id: str, dimension: int) -> None:
        self._client = client
        self.name = name
        self.space_id = space_id
        self.dimension = dimension

    @property
    def search_width(self) -> int:
        return _SEARCH_WIDTH

    def add(self, points: Sequence[IndexPoint]) -> None:
        """As `Collection.add`."""
        rows = admit_points(points, space_id=self.space_id, dimension=self.dimension)
        if not rows:
            return
        batch = [
            models.PointStruct(id=str(key), vector=vector.tolist(), payload=cluster_payload(point))
            for key, (point, vector) in rows.items()
        ]
        with cluster_faults(self.name):
            # Another agent may have dropped it and made it anew for another model.
            check_space(read_space(self._client, self.name) or "", self.space_id)
            for start in range(0, len(batch), _UPDATE_POINTS):
                self._client.upsert(self.name, batch[start : start + _UPDATE_POINTS], wait=True)

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
        """As `Collection.search`."""
        check_space(space_id, self.space_id)
        query = check_vector(vector, self.dimension)
        if not np.linalg.norm(query) > 0:
            raise BadInput("The query vector is zero.")
        params = models.SearchParams(exact=exact, hnsw_ef=max(_SEARCH_WIDTH, limit + offset))
        with cluster_faults(self.name):
            found = self._client.query_points(
                self.name,
                query=query.tolist(),
                query_filter=to_cluster_filter(
                    find_conditions(where, side_conditions), without_uris
                ),
                search_params=params,
                limit=limit,
                offset=offset,
                score_threshold=min_score,
                with_payload=True,
                with_vectors=with_vectors,
            ).points
        return [
            cluster_hit(
                point.score,
                dict(point.payload or {}),
                np.array(point.vector, np.float32) if with_vectors else None,
            )
            for point in found
        ]

    def stored_vector(self, origin: Origin) -> NDArray[np.float32]:
        """As `Collection.stored_vector`."""
        key = point_id(check_uri(origin.uri), origin.window)
        with cluster_faults(self.name):
            found = self._client.retrieve(
                self.name, [str(key)], with_payload=False, with_vectors=True
            )
        vector = np.array(found[0].vector, np.float32) if found else None
        return require_stored(vector, origin, self.name)

    def find_stored(self, origins: Sequence[Origin]) -> list[bool]:
        """As `Collection.find_stored`."""
        ids = [str(point_id(check_uri(origin.uri), origin.window)) for origin in origins]
        with cluster_faults(self.name):
            found = self._client.retrieve(self.name, ids, with_payload=[STAMP])
        stamps = {str(point.id): (point.payload or {}).get(STAMP, "") for point in found}
        return [
            key in stamps and origin.stamp in ("", stamps[key])
            for key, origin in zip(ids, origins, strict=True)
        ]

    def scroll(self, start: UUID | None, *, limit: int) -> tuple[list[StoredRecord], UUID | None]:
        """As `Collection.scroll`."""
        with cluster_faults(self.name):
            points, following = self._client.scroll(
                self.name,
                limit=limit,
                offset=str(start) if start is not None else None,
                with_payload=True,
                with_vectors=True,
            )
        records = []
        for point in points:
            hit = cluster_hit(0.0, dict(point.payload or {}), None)
            vector = np.array(point.vector, np.float32)
            payload = payload_from_json(hit.payload)
            records.append(StoredRecord(hit.uri, payload, hit.artifact_id, vector))
        return records, UUID(str(following)) if following is not None else None

    def delete(self, uris: Sequence[str]) -> int:
        """As `Collection.delete`; the count is that before the deletion."""
        for uri in uris:
            check_uri(uri)
        return self._delete(_matches(URI, models.MatchAny(any=list(uris)))) if uris else 0

    def delete_outdated(self, origins: Sequence[Origin]) -> int:
        """As `Collection.delete_outdated`."""
        deleted = 0
        for origin in origins:
            uri = _matches(URI, models.MatchValue(value=check_uri(origin.uri)))
            current = _matches(STAMP, models.MatchValue(value=origin.stamp))
            deleted += self._delete(uri, unless=current)
        return deleted

    def delete_prefix(self, prefix: str) -> int:
        """As `Collection.delete_prefix`."""
        return self._delete(_matches(URI, models.MatchPrefix(prefix=check_uri(prefix))))

    def count(self) -> int:
        with cluster_faults(self.name):
            return self._client.count(self.name, exact=True).count

    def stats(self) -> CollectionStats:
        """Bytes are 0: a cluster doesn't tell them."""
        points = self.count()
        with cluster_faults(self.name):
            facet = self._client.facet(self.name, ARTIFACT, limit=_MAX_ARTIFACTS, exact=True)
        artifacts = {str(hit.value): hit.count for hit in facet.hits if hit.count}
        return CollectionStats(points, 0, self.space_id, self.dimension, artifacts)

    def optimize(self) -> bool:
        """The cluster builds its graphs by itself."""
        return False

    def _delete(
        self, condition: models.FieldCondition, unless: models.FieldCondition | None = None
    ) -> int:
        chosen = models.Filter(must=[condition], must_not=[unless] if unless else None)
        with cluster_faults(self.name):
            count = self._client.count(self.name, count_filter=chosen, exact=True).count
            if count:
                self._client.delete(
                    self.name, points_selector=models.FilterSelector(filter=chosen), wait=True
                )
        return count


def read_space(client: QdrantClient, name: str) -> str | None:
    """The space id of the collection `name`; None where it isn't rsq's."""
    metadata: dict[str, Any] = client.get_collection(name).config.metadata or {}
    ours = metadata.get(METADATA)
    return str(ours["space_id"]) if isinstance(ours, dict) and "space_id" in ours else None


@contextmanager
def cluster_faults(collection: str) -> Iterator[None]:
    """Turns what qdrant-client raises into rsq's errors."""
    try:
        yield
    except RsqError:
        raise
    except UnexpectedResponse as e:
        if e.status_code == 404:
            raise NotFound(f"The cluster has no collection {collection!r} any more.") from e
        raise EnvironmentFault(
            f"The Qdrant cluster refused a call on {collection!r}: status {e.status_code} "
            f"{e.reason_phrase}."
        ) from e
    except (ResponseHandlingException, OSError) as e:
        raise Unreachable(
            f"The Qdrant cluster with the collection {collection!r} does not answer: {e}. Is it "
            "running, and is the URL of serve --collections right?"
        ) from e
    except ValueError as e:  # no JSON, or another one
        raise EnvironmentFault(
            f"What answers for the collection {collection!r} does not answer as Qdrant does. Is "
            "the URL of serve --collections right?"
        ) from e


def _matches(key: str, match: models.Match) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=match)
