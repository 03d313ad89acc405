"""Near-duplicates go, and diverse hits are chosen as the formula says."""

from __future__ import annotations

import numpy as np

from rsq_agent.collections.diversity import collapse, diversify


def unit_rows(count: int, seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    rows = np.random.default_rng(seed).normal(size=(count, 6))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_of_near_duplicates_the_first_is_kept() -> None:
    a, b = unit_rows(2)
    near = a + np.float32(0.01) * b
    near /= np.linalg.norm(near)
    assert collapse(np.stack([a, near, b, a]), 0.99) == [0, 2]
    assert collapse(np.stack([a, near, b]), 1.0) == [0, 1, 2]
    assert collapse(np.empty((0, 6), np.float32), 0.9) == []


def test_diversity_follows_maximal_marginal_relevance() -> None:
    rows, query = unit_rows(40), unit_rows(1, seed=1)[0]
    scores = rows @ query
    chosen = diversify(rows, scores, 0.3, 12)
    expected: list[int] = [int(np.argmax(scores))]
    while len(expected) < 12:
        rest = [place for place in range(40) if place not in expected]
        expected.append(
            max(rest, key=lambda p: 0.3 * scores[p] - 0.7 * max(rows[expected] @ rows[p]))
        )
    assert chosen == expected


def test_relevance_alone_is_the_plain_order() -> None:
    rows, query = unit_rows(20), unit_rows(1, seed=1)[0]
    scores = rows @ query
    assert diversify(rows, scores, 1.0, 20) == np.argsort(-scores).tolist()
    assert diversify(rows, scores, 0.5, 99)[0] == np.argmax(scores)
