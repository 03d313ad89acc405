from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rsq.sharing import may_share
from rsq.similarity import normalise
from rsq_server.build import crossing
from rsq_server.build.crossing import compare_crossings
from rsq_server.build.metrics import compare_embeddings

DIMENSION = 24


def _rows(count: int, seed: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    return normalise(random.standard_normal((count, DIMENSION)).astype(np.float32))


# What only the crossings can tell apart: cosines as of a healthy artifact.
HEALTHY = {"cosine_mean": 0.999, "spread_ratio": 1.0}
IMAGES, QUERIES = _rows(300, 0), _rows(200, 1)


def _noisy(amount: float) -> NDArray[np.float32]:
    return normalise(IMAGES + np.float32(amount) * _rows(300, 2))


def _rotated() -> NDArray[np.float32]:
    random = np.random.default_rng(3)
    turn, _ = np.linalg.qr(random.standard_normal((DIMENSION, DIMENSION)))
    return normalise(IMAGES @ turn.astype(np.float32))


def test_fp32_meets_itself_without_loss() -> None:
    found = compare_crossings(IMAGES, IMAGES, QUERIES)
    names = ("mixed_top1_match", "mixed_overlap_at_10", "image_overlap_at_10")
    assert [found[name] for name in (*names, "cross_image_overlap_at_10")] == [1.0] * 4
    assert found["mixed_overlap_change"] == found["cross_image_overlap_change"] == 0
    assert may_share({**HEALTHY, **found})


@pytest.mark.parametrize("amount", [0.01, 0.05, 0.2])
def test_a_variant_with_small_errors_of_its_own_may_share(amount: float) -> None:
    found = compare_crossings(IMAGES, _noisy(amount), QUERIES)
    assert found["mixed_overlap_at_10"] < 1
    # Half of the index is exact, and one side of each crossing.
    assert found["mixed_overlap_change"] > 0
    assert found["cross_image_overlap_at_10"] > found["image_overlap_at_10"]
    assert may_share({**HEALTHY, **found})


def test_a_variant_in_a_rotated_space_may_not_share_though_alone_it_is_as_good() -> None:
    found = compare_crossings(IMAGES, _rotated(), QUERIES)
    assert found["image_overlap_at_10"] > 0.99
    assert found["cross_image_overlap_at_10"] < 0.2
    # FP32's half is still found, so this figure alone would let it pass.
    assert found["mixed_overlap_change_low"] > 0
    assert not may_share({**HEALTHY, **found})


def test_a_variant_whose_cosines_are_shifted_may_not_share_though_it_ranks_alike() -> None:
    """Texts and images lie in two cones; the variant moves along the axis between them."""
    axis = np.zeros(DIMENSION, np.float32)
    axis[0] = 1
    texts = normalise(np.where(axis > 0, np.float32(0.5), QUERIES))
    images = normalise(np.where(axis > 0, np.float32(0.0), IMAGES))
    # Rows of one length, so that all are scaled alike and keep their order.
    shifted = normalise(images - np.float32(0.3) * axis)
    found = compare_crossings(images, shifted, texts)
    assert found["image_overlap_at_10"] > 0.99
    assert found["mixed_overlap_change_high"] < -0.2
    assert not may_share({**HEALTHY, **found})


def test_what_was_not_measured_may_not_be_shared() -> None:
    found = compare_crossings(IMAGES, IMAGES, QUERIES)
    assert not may_share({})
    assert not may_share(found)
    assert may_share({**HEALTHY, **found})
    del found["cross_image_overlap_change_high"]
    assert not may_share({**HEALTHY, **found})


def test_what_the_gates_refuse_may_not_be_shared_though_mixing_makes_it_no_worse() -> None:
    other = _rows(300, 4)  # another model entirely
    found = {**compare_embeddings(IMAGES, other), **compare_crossings(IMAGES, other, QUERIES)}
    assert found["mixed_overlap_change_high"] > 0
    assert found["cross_image_overlap_change_high"] > 0
    assert not may_share(found)


def test_a_cost_within_its_interval_is_none() -> None:
    unsure = {
        **HEALTHY,
        "mixed_overlap_change_high": 0.0,
        "cross_image_overlap_change_high": 0.001,
    }
    assert may_share(unsure)
    assert not may_share({**unsure, "mixed_overlap_change_high": -1e-4})


def test_the_mixed_index_is_the_same_each_time_and_holds_half_of_each() -> None:
    # A variant without any image like the query: what is found is FP32's half.
    found = compare_crossings(IMAGES, -IMAGES, IMAGES)
    assert found["mixed_top1_match"] == 0.5
    assert found == compare_crossings(IMAGES, -IMAGES, IMAGES)


def test_one_image_has_no_neighbours_to_compare() -> None:
    found = compare_crossings(IMAGES[:1], IMAGES[:1], QUERIES)
    assert found["mixed_overlap_at_10"] == 1
    assert "image_overlap_at_10" not in found
    assert not may_share({**HEALTHY, **found})


def test_image_queries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compare_crossings(IMAGES, _noisy(0.2), QUERIES)
    monkeypatch.setattr(crossing, "MAX_IMAGE_QUERIES", 40)
    few = compare_crossings(IMAGES, _noisy(0.2), QUERIES)
    assert few["mixed_overlap_at_10"] == whole["mixed_overlap_at_10"]
    assert few["image_overlap_at_10"] == pytest.approx(whole["image_overlap_at_10"], abs=0.1)
    assert few["image_overlap_at_10"] != whole["image_overlap_at_10"]
    assert round(few["image_overlap_at_10"] * 400) == pytest.approx(
        few["image_overlap_at_10"] * 400
    )
