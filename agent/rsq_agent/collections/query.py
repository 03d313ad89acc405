"""One query vector of several parts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rsq.errors import BadInput
from rsq.retrieval import QueryPart

MAX_PARTS = 32
# Of a sum of unit vectors, relative to its weights: below it float32 has no direction left.
_LEAST_LENGTH = 1e-5


def check_parts(parts: Sequence[QueryPart]) -> None:
    """Raises BadInput unless there are parts, each of one kind and with a weight."""
    if not 1 <= len(parts) <= MAX_PARTS:
        raise BadInput(
            f"A search takes 1 to {MAX_PARTS} texts, images, vectors and stored images together, "
            f"not {len(parts)}."
        )
    for part in parts:
        given = [part.text, part.image, part.vector, part.like]
        if sum(value is not None for value in given) != 1:
            raise BadInput(
                "A part of a query is one text, one image, one vector or one stored image."
            )
        if not np.isfinite(part.weight) or part.weight == 0:
            raise BadInput(f"The weight of a part of a query is {part.weight:g}; it can't be.")
    if all(part.weight < 0 for part in parts):
        raise BadInput(
            "Every part of this query leads away; say also what to look for, beside --not."
        )


def combine(rows: Sequence[NDArray[np.float32]], weights: Sequence[float]) -> NDArray[np.float32]:
    """The normalised sum of weight x unit vector: `rows` float32 [dim] each, of any length above 0.

    Raises BadInput for a row that is zero or not finite, and where the parts cancel each other.
    """
    if len({row.shape for row in rows}) > 1:
        sizes = sorted({row.size for row in rows})
        raise BadInput(f"The vectors of this query have different dimensions: {sizes}.")
    total = np.zeros(rows[0].shape)
    for row, weight in zip(rows, weights, strict=True):
        exact = row.astype(np.float64)
        length = math.sqrt(exact.dot(exact))
        if not math.isfinite(length) or length == 0:
            raise BadInput("The query vector is zero or not finite.")
        total += exact * (weight / length)
    length = math.sqrt(total.dot(total))
    if length <= _LEAST_LENGTH * sum(map(abs, weights)):
        raise BadInput("The parts of this query cancel each other; change a weight or a part.")
    return np.asarray(total / length, np.float32)
