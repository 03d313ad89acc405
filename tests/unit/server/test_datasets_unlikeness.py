from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rsq.errors import BadInput
from rsq.similarity import normalise
from rsq_server.datasets.unlikeness import (
    MAX_VECTORS,
    UNLIKE,
    Unlikeness,
    unlikeness,
    warn_if_unlike,
)


def _cloud(seed: int, count: int, shift: float = 0.0) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((count, 16)).astype(np.float32)
    rows[:, 0] += shift
    return normalise(rows)


def test_the_distance_is_szekely_and_rizzos_written_out() -> None:
    left, right = _cloud(1, 7), _cloud(2, 9, 1.0)

    def mean(first: NDArray[np.float32], second: NDArray[np.float32], pairs: int) -> float:
        return float(sum(np.linalg.norm(a - b) for a in first for b in second) / pairs)

    across = mean(left, right, 63)
    expected = (2 * across - mean(left, left, 42) - mean(right, right, 72)) / (2 * across)
    # float32 vectors have length 1 to 1e-7, which a short distance feels by its root.
    assert unlikeness(left, right).distance == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("count", [8, 64, 500])
def test_samples_of_one_distribution_are_alike_at_every_size(count: int) -> None:
    found = [unlikeness(_cloud(seed, count), _cloud(99, 300)) for seed in range(20)]
    assert not any(one.unlike for one in found)
    assert abs(np.mean([one.distance for one in found])) < 0.01
    assert all(one.expected > 0 for one in found)


@pytest.mark.parametrize("count", [8, 64])
def test_sets_in_another_direction_are_unlike(count: int) -> None:
    near = unlikeness(_cloud(1, count, 3.0), _cloud(2, 300))
    far = unlikeness(_cloud(1, count, 9.0), _cloud(2, 300))
    assert near.unlike
    assert far.distance > near.distance > UNLIKE


def test_fewer_evaluation_images_allow_for_more_chance() -> None:
    few, many = (unlikeness(_cloud(1, 64), _cloud(2, count)).expected for count in (10, 500))
    assert few > 2 * many


def test_a_difference_within_the_tolerance_is_alike() -> None:
    assert not Unlikeness(distance=UNLIKE + 0.01, expected=0.02).unlike
    assert Unlikeness(distance=UNLIKE + 0.03, expected=0.02).unlike


def test_large_sets_are_thinned() -> None:
    rows = _cloud(1, 2 * MAX_VECTORS - 1)
    # Every second row is left.
    assert unlikeness(rows, _cloud(2, 20)) == unlikeness(rows[::2], _cloud(2, 20))


def test_sets_of_one_point_each_are_alike_where_it_is_the_same() -> None:
    point = np.eye(4, dtype=np.float32)[[0] * 6]
    other = np.eye(4, dtype=np.float32)[[1] * 6]
    assert unlikeness(point, point).distance == 0
    assert unlikeness(point, other).distance == 1


def test_the_warning_is_a_sentence_with_both_numbers() -> None:
    calibration, evaluation = _cloud(1, 64, 9.0), _cloud(2, 300)
    found = unlikeness(calibration, evaluation)
    sentence = warn_if_unlike(calibration, evaluation)
    assert sentence is not None
    assert f"{found.distance:.2f}" in sentence
    assert f"{found.expected:.2f}" in sentence
    assert warn_if_unlike(_cloud(1, 64), evaluation) is None


@pytest.mark.parametrize(("calibration", "evaluation"), [(1, 300), (64, 3)])
def test_sets_too_small_to_compare_are_said_so_and_not_warned_about(
    calibration: int, evaluation: int
) -> None:
    vectors = _cloud(1, calibration, 9.0), _cloud(2, evaluation)
    with pytest.raises(BadInput, match=f"Sets of {calibration} and {evaluation} images"):
        unlikeness(*vectors)
    assert warn_if_unlike(*vectors) is None
