from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rsq.similarity import normalise
from rsq_server.build import neighbours
from rsq_server.build.metrics import (
    Targets,
    compare_embeddings,
    compare_retrieval,
    retrieve,
    spread,
)


def _rows(count: int, seed: int = 0, dimension: int = 16) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    return normalise(random.standard_normal((count, dimension)).astype(np.float32))


def _targets(count: int) -> Targets:
    return Targets(own_images=np.arange(count), label_indices=np.arange(count) % 3)


def test_fp32_against_itself_is_perfect() -> None:
    images, queries, prompts = _rows(30), _rows(30, 1), _rows(3, 2)
    own = retrieve(images, queries, prompts, _targets(30))
    found = {**compare_retrieval(own, own), **compare_embeddings(images, images)}
    perfect = ("top1_match", "top3_match", "overlap_at_10", "similarity_correlation")
    assert [found[name] for name in perfect] == pytest.approx([1.0] * 4)
    assert found["kendall_tau"] == 1.0
    nothing = [name for name in found if name.endswith(("_change", "_diff"))]
    assert len(nothing) == 10
    assert [found[name] for name in nothing] == [0.0] * 10
    names = ("cosine_mean", "cosine_min", "cosine_p1", "spread_ratio")
    assert [found[name] for name in names] == pytest.approx([1.0] * 4)


def test_ranks_and_matches_equal_those_counted_by_hand() -> None:
    # Two queries, four images on a circle; the variant exchanges images 0 and 3.
    angles = np.deg2rad([0, 40, 80, 120])
    images = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    queries = np.array([[1, 0], [0, 1]], np.float32)  # best images 0, 1, 2, 3 and 2, 3, 1, 0
    targets = Targets(own_images=np.array([1, 2]), label_indices=None)
    reference = retrieve(images, queries, None, targets)
    assert reference.top.tolist() == [[0, 1, 2, 3], [2, 3, 1, 0]]
    assert reference.own_ranks is not None
    assert reference.own_ranks.tolist() == [1, 0]
    variant = retrieve(images[[3, 1, 2, 0]], queries, None, targets)
    assert variant.top.tolist() == [[3, 1, 2, 0], [2, 0, 1, 3]]
    found = compare_retrieval(reference, variant)
    assert found["top1_match"] == 0.5
    assert found["top3_match"] == 0.5  # image 0 is now the first query's last
    assert found["recall_at_1"] == 0.5
    assert found["recall_at_1_change"] == 0.0
    assert found["recall_at_5"] == 1.0
    assert "zero_shot" not in found


def test_recall_and_its_change_count_only_the_own_image() -> None:
    images = np.eye(12, dtype=np.float32)
    reference = retrieve(images, images, None, Targets(np.arange(12), None))
    shifted = retrieve(np.roll(images, 1, axis=0), images, None, Targets(np.arange(12), None))
    found = compare_retrieval(reference, shifted)
    assert found["recall_at_1"] == 0.0
    assert found["recall_at_1_change"] == -1.0
    assert found["top1_match"] == 0.0


def test_zero_shot_is_the_share_of_images_closest_to_their_own_label() -> None:
    images = np.eye(4, dtype=np.float32)[[0, 1, 2, 0]]
    prompts = np.eye(4, dtype=np.float32)[:3]
    targets = Targets(None, np.array([0, 1, 2, 1]))
    right = retrieve(images, prompts, prompts, targets)
    assert right.zero_shot == 0.75
    wrong = retrieve(images, prompts, prompts[[1, 0, 2]], targets)
    found = compare_retrieval(right, wrong)
    assert found["zero_shot"] == 0.5
    assert found["zero_shot_change"] == -0.25
    assert "recall_at_1" not in found


def test_more_queries_than_one_block_rank_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    images, queries = _rows(40), _rows(40, 1)
    whole = retrieve(images, queries, None, _targets(40))
    monkeypatch.setattr(neighbours, "BLOCK_SIMILARITIES", 7 * 40)
    parts = retrieve(images, queries, None, _targets(40))
    assert np.array_equal(whole.top, parts.top)
    assert np.array_equal(_given(whole.own_ranks), _given(parts.own_ranks))
    assert np.array_equal(_given(whole.text_ranks), _given(parts.text_ranks))
    assert whole.sample == pytest.approx(parts.sample, abs=1e-6)


def _given(ranks: NDArray[np.int64] | None) -> NDArray[np.int64]:
    assert ranks is not None
    return ranks


def test_an_image_is_right_when_any_of_its_own_texts_is_found() -> None:
    images = np.eye(4, dtype=np.float32)[:3]
    # Image 0 owns two texts, of which the second is like it; image 2 owns none.
    queries = normalise(
        np.array([[0, 1, 0.1, 0], [1, 0, 0, 0], [0.5, 1, 0, 0], [0.9, 0.1, 0, 0]], np.float32)
    )
    targets = Targets(np.array([0, 0, 1, 1]), None)
    reference = retrieve(images, queries, None, targets)
    assert _given(reference.own_ranks).tolist() == [2, 0, 0, 1]
    assert _given(reference.text_ranks).tolist() == [0, 1]
    found = compare_retrieval(reference, reference)
    assert found["image_recall_at_1"] == 0.5
    assert found["image_recall_at_5"] == 1.0
    # The second text of image 0 becomes its first, which is image 1's best hit.
    moved = retrieve(images, queries[[0, 0, 2, 3]], None, targets)
    assert _given(moved.text_ranks).tolist() == [2, 2]
    changed = compare_retrieval(reference, moved)
    assert changed["image_recall_at_1"] == 0.0
    assert changed["image_recall_at_1_change"] == -0.5
    assert changed["recall_at_1_change"] == -0.25


def test_kendall_tau_is_of_the_order_of_fp32s_first_fifty_images() -> None:
    ramp = np.linspace(0, 1, 60, dtype=np.float32)
    images = np.stack([np.cos(ramp), np.sin(ramp)], 1)
    query = np.array([[1, 0]], np.float32)
    targets = Targets(None, None)
    reference = retrieve(images, query, None, targets)
    assert reference.top.shape == (1, 50)
    last = images.copy()
    last[50:] = last[50:][::-1]  # beyond the first fifty
    assert compare_retrieval(reference, retrieve(last, query, None, targets))["kendall_tau"] == 1.0
    swapped = images.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    found = compare_retrieval(reference, retrieve(swapped, query, None, targets))
    assert found["kendall_tau"] == pytest.approx(1 - 2 / (50 * 49 / 2))
    backwards = retrieve(images[::-1].copy(), query, None, targets)
    assert compare_retrieval(reference, backwards)["kendall_tau"] == pytest.approx(-1)


def test_intervals_hold_their_figures_and_follow_the_pairs_of_answers() -> None:
    images, queries, prompts = _rows(200), _rows(200, 1), _rows(3, 2)
    noisy = normalise(images + _rows(200, 3) * np.float32(0.2))
    reference = retrieve(images, queries, prompts, _targets(200))
    variant = retrieve(noisy, queries, prompts, _targets(200))
    found = {**compare_embeddings(images, noisy), **compare_retrieval(reference, variant)}
    names = ("cosine_mean", "top1_match", "top3_match", "overlap_at_10", "recall_at_10_change")
    for name in (*names, "zero_shot_change"):
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"], name
    # Hits and misses of FP32 itself prove little with few queries.
    few = retrieve(images, queries[:10], None, Targets(None, None))
    perfect = compare_retrieval(few, few)
    assert perfect["top1_match_high"] == 1.0
    assert perfect["top1_match_low"] < 0.75


def test_equal_images_rank_by_index_in_both_counts() -> None:
    images = np.repeat(np.eye(4, dtype=np.float32)[:1], 5, axis=0)
    found = retrieve(images, images[:1], None, Targets(np.array([3]), None))
    assert found.top.tolist() == [[0, 1, 2, 3, 4]]
    assert found.own_ranks is not None
    assert found.own_ranks.tolist() == [3]


def test_constant_outputs_have_no_spread_even_where_their_cosine_is_high() -> None:
    # A narrow cone, as embeddings of untrained models are.
    narrow = normalise(_rows(50) * np.float32(0.1) + np.eye(16, dtype=np.float32)[0])
    constant = np.repeat(normalise(narrow.mean(0, keepdims=True)), 50, axis=0)
    found = compare_embeddings(narrow, constant)
    assert found["cosine_mean"] > 0.95
    assert found["spread_ratio"] < 1e-3
    assert spread(narrow) > 0.05


def test_differences_are_measured_per_feature() -> None:
    reference = np.array([[1, 0], [0, 1]], np.float32)
    variant = np.array([[0, 1], [0, 1]], np.float32)
    found = compare_embeddings(reference, variant)
    assert found["mean_abs_diff"] == 0.5
    assert found["feature_mean_diff"] == 0.5
    assert found["feature_std_diff"] == 0.5
    assert found["cosine_min"] == 0.0
