"""All collections of a Qdrant cluster, for several agents at once; the twin of `CollectionStore`.

What rsq needs to know of a collection is its metadata in the cluster, so there is nothing beside it
that could drift. Collections of others in the same cluster are left alone.
"""

from __future__ import annotations

import threading

from qdrant_client import QdrantClient, models

from rsq.digest import require_digest
from rsq.errors import BadInput, EnvironmentFault, NotFound
from rsq_agent.collections.cluster_collection import (
    METADATA,
    ClusterCollection,
    cluster_faults,
    read_space,
)
from rsq_agent.collections.cluster_payload import CROSSES, EAST, NORTH, SOUTH, WEST
from rsq_agent.collections.collection_record import MAX_DIMENSION
from rsq_agent.collections.collection_store import check_name, require_same_space
from rsq_agent.collections.stored_payload import ARTIFACT, TAGS, TIME, URI

_CALL_SECONDS = 60
_INDEXES: dict[str, models.PayloadSchemaType | models.KeywordIndexParams] = {
    URI: models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, prefix=True),
    ARTIFACT: models.PayloadSchemaType.KEYWORD,
    TIME: models.PayloadSchemaType.DATETIME,
    TAGS: models.PayloadSchemaType.KEYWORD,
    CROSSES: models.PayloadSchemaType.KEYWORD,
    **dict.fromkeys((WEST, EAST, SOUTH, NORTH), models.PayloadSchemaType.FLOAT),
}


def connect(url: str) -> QdrantClient:
    """A client of the cluster at `url`, such as http://host:6333; raises BadInput for no URL and
    Unreachable where nothing answers."""
    try:
        client = QdrantClient(url=url, timeout=_CALL_SECONDS, check_compatibility=False)
    except ValueError as e:
        raise BadInput(
            f"{url!r} is not the URL of a Qdrant cluster, as http://host:6333 is."
        ) from e
    with cluster_faults("(any)"):
        client.get_collections()
    return client


class ClusterStore:
    """Opens, makes and drops collections; threads may share it."""

    def __init__(self, client: QdrantClient) -> None:
        """Closes `client` when it is closed."""
        self._client = client
        self._guard = threading.RLock()
        self._closed = False

    def open(self, name: str) -> ClusterCollection:
        """As `CollectionStore.open`."""
        check_name(name)
        self._require_open()
        with cluster_faults(name):
            if not self._client.collection_exists(name):
                raise NotFound(f"There is no collection {name!r} in this cluster.")
            space_id = read_space(self._client, name)
            vectors = self._client.get_collection(name).config.params.vectors
        if space_id is None or not isinstance(vectors, models.VectorParams):
            raise BadInput(
                f"The collection {name!r} of this cluster was not made by rsq; choose another name."
            )
        return ClusterCollection(self._client, name, space_id, vectors.size)

    def create(self, name: str, *, space_id: str, dimension: int) -> ClusterCollection:
        """As `CollectionStore.create`."""
        check_name(name)
        require_digest(space_id)
        if not 1 <= dimension <= MAX_DIMENSION:
            raise BadInput(f"A collection has 1 to {MAX_DIMENSION} dimensions, not {dimension}.")
        self._require_open()
        with self._guard, cluster_faults(name):
            if self._client.collection_exists(name):
                raise BadInput(f"There is a collection {name!r} already.")
            self._client.create_collection(
                name,
                vectors_config=models.VectorParams(size=dimension, distance=models.Distance.COSINE),
                quantization_config=models.ScalarQuantization(
                    scalar=models.ScalarQuantizationConfig(
                        type=models.ScalarType.INT8, quantile=0.99, always_ram=True
                    )
                ),
                metadata={METADATA: {"space_id": space_id}},
            )
            for key, kind in _INDEXES.items():
                self._client.create_payload_index(name, key, field_schema=kind, wait=True)
        return ClusterCollection(self._client, name, space_id, dimension)

    def open_or_create(self, name: str, *, space_id: str, dimension: int) -> ClusterCollection:
        """As `CollectionStore.open_or_create`."""
        with self._guard:
            try:
                collection = self.open(name)
            except NotFound:
                return self.create(name, space_id=space_id, dimension=dimension)
        require_same_space(collection, space_id=space_id, dimension=dimension)
        return collection

    def names(self) -> list[str]:
        """As `CollectionStore.names`; those of others are not listed."""
        self._require_open()
        with cluster_faults("(any)"):
            names = [row.name for row in self._client.get_collections().collections]
            return sorted(name for name in names if read_space(self._client, name) is not None)

    def drop(self, name: str) -> None:
        """As `CollectionStore.drop`."""
        self.open(name)
        with cluster_faults(name):
            self._client.delete_collection(name)

    def close(self) -> None:
        """Harmless twice."""
        with self._guard:
            if not self._closed:
                self._closed = True
                self._client.close()

    def _require_open(self) -> None:
        if self._closed:
            raise EnvironmentFault("The collections are closed.")
