"""Parts of a query add up to one unit vector, or are refused."""

from __future__ import annotations

import numpy as np
import pytest

from rsq.errors import BadInput
from rsq.retrieval import Origin, QueryPart
from rsq_agent.collections.query import check_parts, combine

X, Y = np.eye(2, dtype=np.float32)


def test_a_query_is_the_normalised_sum_of_weighted_unit_vectors() -> None:
    np.testing.assert_allclose(combine([X * 9, Y * 0.1], [1, 1]), np.sqrt([0.5, 0.5]), rtol=1e-6)
    np.testing.assert_allclose(combine([X, Y], [3, -4]), [0.6, -0.8], rtol=1e-6)
    np.testing.assert_array_equal(combine([X], [7.5]), X)


@pytest.mark.parametrize(
    ("rows", "weights"),
    [([X, X], [1, -1]), ([X, X * 2, Y * 0], [1, 1, 1]), ([X * np.nan], [1])],
)
def test_what_has_no_direction_is_refused(
    rows: list[np.ndarray[tuple[int], np.dtype[np.float32]]], weights: list[float]
) -> None:
    with pytest.raises(BadInput):
        combine(rows, weights)


def test_parts_of_two_dimensions_are_refused() -> None:
    with pytest.raises(BadInput, match="different dimensions"):
        combine([X, np.ones(3, np.float32)], [1, 1])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "1 to 32"),
        ([QueryPart(text="a")] * 33, "1 to 32"),
        ([QueryPart()], "one text"),
        ([QueryPart(text="a", like=Origin("/b"))], "one text"),
        ([QueryPart(text="a", weight=np.inf)], "weight"),
        ([QueryPart(text="a", weight=-1)], "leads away"),
    ],
)
def test_a_query_that_says_nothing_is_refused(parts: list[QueryPart], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        check_parts(parts)
