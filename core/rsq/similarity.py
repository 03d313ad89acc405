"""Arithmetic on embeddings: normalisation, cosine, and the model's own probability."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rsq.errors import InternalError
from rsq.manifest import ScoringSpec

# Below this a float32 embedding has no direction worth keeping.
_MIN_NORM = 1e-12


def normalise(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """`rows` float32 [n, dim] scaled to unit length each.

    Raises InternalError for a row that is zero or not finite: a broken artifact, never an answer.
    """
    norms = np.linalg.norm(rows.astype(np.float64), axis=-1, keepdims=True)
    if not np.isfinite(norms).all() or (norms < _MIN_NORM).any():
        raise InternalError("The model returned an embedding that is zero or not finite.")
    return np.asarray(rows / norms, np.float32)


def row_cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosine of each row of `left` with the same row of `right`, both [n, dim] and normalised."""
    products = left.astype(np.float64) * right.astype(np.float64)
    return np.asarray(products.sum(axis=-1))


def probabilities(cosines: NDArray[np.float64], scoring: ScoringSpec) -> NDArray[np.float64]:
    """`cosines` [..., n] as the model reads them: SigLIP's independent sigmoid(scale * cos + bias)
    (Zhai et al. 2023), or CLIP's softmax(scale * cos) over the last axis (Radford et al. 2021)."""
    logits = scoring.scale * cosines + scoring.bias
    if scoring.kind == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-np.maximum(logits, -500))))
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))
