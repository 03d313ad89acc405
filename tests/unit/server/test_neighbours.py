from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from rsq.similarity import normalise
from rsq_server.build import neighbours
from rsq_server.build.neighbours import blocks, find_nearest, kendall_taus, shared_share


def _rows(count: int, seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    return normalise(random.standard_normal((count, 8)).astype(np.float32))


def _tau(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """Tau-b by its definition, pair by pair."""
    concordant = ties_left = ties_right = pairs = 0
    for i, j in itertools.combinations(range(len(left)), 2):
        a, b = np.sign(left[i] - left[j]), np.sign(right[i] - right[j])
        concordant += a * b
        ties_left += a == 0
        ties_right += b == 0
        pairs += 1
    if ties_left == ties_right == pairs:
        return 1.0
    scale = math.sqrt((pairs - ties_left) * (pairs - ties_right))
    return float(concordant / scale) if scale else 0.0


_SCORES = st.integers(-4, 4).map(float)


@given(
    array_shapes(min_dims=2, max_dims=2, max_side=7).flatmap(
        lambda shape: st.tuples(*[arrays(np.float32, shape, elements=_SCORES)] * 2)
    )
)
def test_taus_equal_those_counted_pair_by_pair(
    scores: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    found = kendall_taus(*scores)
    assert found == pytest.approx([_tau(*pair) for pair in zip(*scores, strict=True)])


def test_taus_in_blocks_equal_those_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = _rows(30), _rows(30, 1)
    whole = kendall_taus(left, right)
    monkeypatch.setattr(neighbours, "_BLOCK_PAIRS", 7 * 64)
    assert np.array_equal(whole, kendall_taus(left, right))


def test_the_nearest_rows_leave_out_ones_own() -> None:
    index = _rows(12)
    own = np.arange(12)
    assert find_nearest(index, index, 3)[:, 0].tolist() == own.tolist()
    found = find_nearest(index, index, 3, own=own)
    assert not (found == own[:, None]).any()
    cosines = index @ index.T - 2 * np.eye(12)
    assert np.array_equal(found[:, 0], cosines.argmax(1))


def test_an_index_shorter_than_the_answer_is_given_whole() -> None:
    index = _rows(3)
    assert find_nearest(index, index, 10).shape == (3, 3)
    found = find_nearest(index, index, 10, own=np.arange(3))
    assert [sorted(row) for row in found.tolist()] == [[1, 2], [0, 2], [0, 1]]


def test_equal_rows_are_found_in_their_order() -> None:
    index = np.repeat(_rows(1), 5, axis=0)
    assert find_nearest(index, index[:1], 4).tolist() == [[0, 1, 2, 3]]


def test_overlap_ignores_the_order() -> None:
    shares = shared_share(
        np.array([[1, 2, 3, 4], [1, 2, 3, 4]]), np.array([[4, 3, 2, 1], [1, 7, 8, 9]])
    )
    assert shares.tolist() == [1.0, 0.25]


@given(st.integers(0, 5000), st.integers(0, 3_000_000))
def test_blocks_cover_every_row_once_within_the_bound(rows: int, columns: int) -> None:
    parts = list(blocks(rows, columns))
    assert [row for part in parts for row in range(rows)[part]] == list(range(rows))
    sizes = [part.stop - part.start for part in parts]
    assert all(size == 1 or size * columns <= neighbours.BLOCK_SIMILARITIES for size in sizes)
