"""A point's payload as every index keeps it, and the hit that is made of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.errors import NotFound
from rsq.retrieval import Origin
from rsq_agent.collections.index_points import Hit, IndexPoint, bbox_of, payload_of
from rsq_agent.collections.search_filter import URI
from rsq_agent.collections.stored_place import OWN_KEYS, place_of

ARTIFACT = "artifact_id"
STAMP = "stamp"


def stored_payload(point: IndexPoint) -> dict[str, Any]:
    """Of a checked `point`."""
    payload = {URI: point.uri, ARTIFACT: point.artifact_id, **payload_of(point)}
    bbox = bbox_of(point)
    return payload if bbox is None else payload | place_of(bbox)


def to_hit(score: float, payload: dict[str, Any], vector: NDArray[np.float32] | None) -> Hit:
    """`payload` is what `stored_payload` made."""
    kept = {key: value for key, value in payload.items() if key not in OWN_KEYS}
    uri, artifact_id = kept.pop(URI), kept.pop(ARTIFACT)
    # Rounding takes a cosine of 1 to 1.0000002.
    return Hit(max(-1.0, min(1.0, score)), uri, artifact_id, kept, vector)


def require_stored(
    vector: NDArray[np.float32] | None, origin: Origin, collection: str
) -> NDArray[np.float32]:
    """`vector`; raises NotFound where it is None."""
    if vector is None:
        tile = "" if origin.window is None else " with that window"
        raise NotFound(
            f"The collection {collection!r} holds no vector of {origin.uri!r}{tile}; index it "
            "first, or search with the image itself."
        )
    return vector
