"""Points of a collection as tests make them: unit vectors with numbered addresses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq_agent.collections.index_points import IndexPoint

SPACE = "a" * 64
OTHER_SPACE = "b" * 64
ARTIFACT = "c" * 64
OTHER_ARTIFACT = "d" * 64
DIM = 16


def unit_rows(count: int, dimension: int = DIM, seed: int = 0) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def point(number: int, vector: NDArray[np.float32], **changes: Any) -> IndexPoint:
    return replace(IndexPoint(f"/images/{number:05d}.jpg", vector, ARTIFACT, SPACE), **changes)


def points(rows: NDArray[np.float32]) -> list[IndexPoint]:
    return [point(number, row) for number, row in enumerate(rows)]
