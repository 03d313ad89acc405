"""Where this agent's collections are."""

from __future__ import annotations

from rsq.errors import EnvironmentFault
from rsq_agent.cache import Cache
from rsq_agent.collections.collection_interface import VectorCollections
from rsq_agent.collections.collection_store import CollectionStore


def open_collections(cache: Cache, url: str | None) -> VectorCollections:
    """Those of this node, or of the Qdrant cluster at `url`.

    Raises EnvironmentFault where another process has the node's or qdrant-client is missing, and
    Unreachable where no cluster answers.
    """
    if url is None:
        return CollectionStore(cache.collections_folder)
    try:
        from rsq_agent.collections.cluster_store import ClusterStore, connect
    except ImportError as e:
        raise EnvironmentFault(
            "Collections in a Qdrant cluster need qdrant-client, which is not installed. Install "
            "rsq-agent[cluster], or leave out --collections."
        ) from e
    return ClusterStore(connect(url))
