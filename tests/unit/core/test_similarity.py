from __future__ import annotations

import math

import numpy as np
import pytest

from rsq.errors import InternalError
from rsq.manifest import ScoringSpec
from rsq.similarity import normalise, probabilities, row_cosines


def test_rows_come_out_with_unit_length_and_their_direction() -> None:
    rows = np.array([[3.0, 4.0], [0.0, -1e-3]], np.float32)
    assert normalise(rows) == pytest.approx(np.array([[0.6, 0.8], [0.0, -1.0]]))
    assert normalise(rows).dtype == np.float32


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_a_vector_without_direction_is_an_error_not_an_answer(value: float) -> None:
    with pytest.raises(InternalError):
        normalise(np.array([[1.0, 0.0], [value, value]], np.float32))


def test_cosines_pair_rows() -> None:
    left = np.array([[1.0, 0.0], [0.6, 0.8]], np.float32)
    right = np.array([[0.0, 1.0], [0.6, 0.8]], np.float32)
    assert row_cosines(left, right) == pytest.approx([0.0, 1.0], abs=1e-6)


def test_sigmoid_and_softmax_follow_their_formulas() -> None:
    cosines = np.array([0.3, 0.1])
    sigmoid = probabilities(cosines, ScoringSpec("sigmoid", 20.0, -5.0))
    assert sigmoid == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.exp(3))])
    softmax = probabilities(cosines, ScoringSpec("softmax", 20.0))
    assert softmax == pytest.approx([1 / (1 + math.exp(-4)), 1 / (1 + math.exp(4))])
