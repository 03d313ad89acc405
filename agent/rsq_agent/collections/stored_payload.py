"""A point's payload as a shard keeps it, and the hit that is made of it.

Each key costs Qdrant Edge about two microseconds a point, so only what is filtered by has one of
its own. The rest is one text of JSON.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq_agent.collections.index_points import Hit, IndexPoint, payload_of
from rsq_agent.collections.stored_place import PLACE_KEYS, place_of

# Keys of the stored payload beside those of `rsq_agent.collections.stored_place`.
URI = "uri"
ARTIFACT = "artifact_id"
TIME = "datetime"
TAGS = "tags"
STAMP = "stamp"
_REST = "rest"
_FILTERED = (TIME, TAGS, STAMP)
_OWN_KEYS = (*PLACE_KEYS, _REST)
# What the functions of `json` do beside costs as much as these.
_ENCODER, _DECODER = json.JSONEncoder(separators=(",", ":")), json.JSONDecoder()


def stored_payload(point: IndexPoint) -> dict[str, Any]:
    """Of an admitted `point`."""
    rest = payload_of(point)
    payload: dict[str, Any] = {URI: point.uri, ARTIFACT: point.artifact_id}
    payload.update((key, rest.pop(key)) for key in _FILTERED if key in rest)
    if point.bbox is not None:
        payload.update(place_of(point.bbox, point.datetime))
    if rest:
        payload[_REST] = _ENCODER.encode(rest)
    return payload


def to_hit(score: float, payload: dict[str, Any], vector: NDArray[np.float32] | None) -> Hit:
    """`payload` is what `stored_payload` made."""
    kept = {key: value for key, value in payload.items() if key not in _OWN_KEYS}
    if _REST in payload:
        kept.update(_DECODER.raw_decode(payload[_REST])[0])
    return make_hit(score, kept, vector)


def make_hit(score: float, fields: dict[str, Any], vector: NDArray[np.float32] | None) -> Hit:
    """`fields` are those of `rsq.retrieval.Payload` as JSON, the uri and the artifact."""
    uri, artifact_id = fields.pop(URI), fields.pop(ARTIFACT)
    # Rounding takes a cosine of 1 to 1.0000002.
    return Hit(max(-1.0, min(1.0, score)), uri, artifact_id, fields, vector)
