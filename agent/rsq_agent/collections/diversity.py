"""Fewer hits that are alike: near-duplicates collapsed, and maximal marginal relevance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def collapse(vectors: NDArray[np.float32], cosine: float) -> list[int]:
    """Places of the rows to keep of `vectors` float32 [n, dim], normalised and best first: each
    whose cosine to every row kept before it is below `cosine`."""
    kept: list[int] = []
    group = np.empty_like(vectors)
    for place, row in enumerate(vectors):
        if kept and float((group[: len(kept)] @ row).max()) >= cosine:
            continue
        group[len(kept)] = row
        kept.append(place)
    return kept


def diversify(
    vectors: NDArray[np.float32], scores: NDArray[np.float32], relevance: float, count: int
) -> list[int]:
    """Places of `count` rows of `vectors` float32 [n, dim], normalised, in the order of choice:
    maximal marginal relevance (Carbonell and Goldstein 1998), which takes next what has the highest
    relevance x score - (1 - relevance) x its greatest cosine to what was taken. `scores` [n] are
    cosines to the query; equal ones go in their order."""
    chosen: list[int] = []
    left = np.ones(len(vectors), bool)
    closest = np.zeros(len(vectors), np.float32)
    for step in range(min(count, len(vectors))):
        value = relevance * scores - (1 - relevance) * closest
        place = int(np.argmax(np.where(left, value, -np.inf)))
        chosen.append(place)
        left[place] = False
        near = vectors @ vectors[place]
        closest = near if step == 0 else np.maximum(closest, near)
    return chosen
