"""Queries to measure a collection with, made of the vectors that it holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# How far a query lies from a stored vector, in radians. An image lies about 0.3 from one like it.
# A text lies about 1.25 from any image: of 1,027 captions of AID images under rsq-siglip-small the
# nearest image had a median cosine of 0.31. The graph needs several times the width for those.
IMAGE_DISTANCE = 0.3
TEXT_DISTANCE = 1.25
DISTANCES = (IMAGE_DISTANCE, TEXT_DISTANCE)
_SEED = 20261124


def displace(vector: NDArray[np.float32], radians: float, seed: int) -> NDArray[np.float32]:
    """A unit vector about `radians` from the unit `vector` float32 [dim], in a direction that
    `seed` chooses. The direction is not made exactly perpendicular: at the dimensions of embeddings
    it nearly is."""
    noise = np.random.default_rng(_SEED + seed).standard_normal(len(vector)).astype(np.float32)
    noise *= np.tan(radians) / np.linalg.norm(noise)
    moved = vector + noise
    return np.asarray(moved / np.linalg.norm(moved), np.float32)
