"""How far two models agree on what lies near what, on one collection."""

from __future__ import annotations

import random
from dataclasses import asdict
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from rsq.errors import NotFound
from rsq.retrieval import Origin
from rsq_agent.collections.collection_interface import VectorCollection

NEIGHBOURS = 10
SAMPLED_QUERIES = 200
_SEED = 20240501


def measure_overlap(
    old: VectorCollection, new: VectorCollection, *, queries: int = SAMPLED_QUERIES
) -> tuple[float, int]:
    """The mean share of an image's 10 nearest images in `old` that are among its 10 nearest in
    `new`, and over how many images. With fewer than 11 images all others are neighbours.

    It tells how differently two models sort a collection, and not which of them is right.
    """
    k = min(NEIGHBOURS, old.count() - 1, new.count() - 1)
    if k < 1:
        return 0.0, 0
    shares = []
    for origin, vector in sample_points(old, queries):
        try:
            counterpart = new.stored_vector(origin)
        except NotFound:
            continue
        before = _neighbours(old, origin, vector, k)
        after = _neighbours(new, origin, counterpart, k)
        shares.append(len(before & after) / k)
    return (float(np.mean(shares)), len(shares)) if shares else (0.0, 0)


def sample_points(
    collection: VectorCollection, count: int
) -> list[tuple[Origin, NDArray[np.float32]]]:
    """Up to `count` stored vectors with where they come from. Ids are digests, so the points next
    to random ids are a fair sample."""
    source = random.Random(_SEED)  # noqa: S311
    found = {}
    for _ in range(count):
        records, _ = collection.scroll(UUID(int=source.getrandbits(128)), limit=1)
        for record in records:
            found[Origin(record.uri, record.payload.window)] = record.vector
    return list(found.items())


def _neighbours(
    collection: VectorCollection, origin: Origin, vector: NDArray[np.float32], k: int
) -> set[tuple[str, str]]:
    hits = collection.search(vector, space_id=collection.space_id, limit=k + 1)
    own = (origin.uri, str(None if origin.window is None else asdict(origin.window)))
    keys = [(hit.uri, str(hit.payload.get("window"))) for hit in hits]
    return set([key for key in keys if key != own][:k])
