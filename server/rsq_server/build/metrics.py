"""Accuracy of embeddings against FP32's, as plain arithmetic on arrays.

Shares are fractions 0..1. Embeddings are float32 [n, dim], L2-normalised. Queries are the texts
that search the set: the first caption of each image that has one. A metric `x` that depends on the
sample of queries or images comes with its 95 % interval, `x_low` and `x_high`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsq.similarity import row_cosines
from rsq_server.build.intervals import share_with_interval, with_intervals
from rsq_server.build.neighbours import (
    TAU_AT,
    best_columns,
    blocks,
    kendall_taus,
    shared_share,
)

RECALL_AT = (1, 5, 10)
OVERLAP_AT = 10
_SAMPLE_ROWS, _SAMPLE_COLUMNS = 2000, 100  # of the similarity matrix, at most about twice each


@dataclass(frozen=True)
class Targets:
    """What is right. `own_images` int64 [q]: the image each query was written for, None where
    queries belong to no image. `label_indices` int64 [n]: each image's row among the label
    prompts, None where the set has no labels."""

    own_images: NDArray[np.int64] | None
    label_indices: NDArray[np.int64] | None


@dataclass(frozen=True)
class Retrieval:
    """What one pair of towers finds. `top` int64 [q, min(50, n)]: the best images of each query,
    best first; `own_ranks` int64 [q]: the place of its own image, from 0; `text_ranks` int64 [m]:
    for each image that a query was written for, the place of the first of its own among all
    queries; `classified` bool [n]: whether an image's own label's prompt is the closest; `sample`
    float64: cosines of queries and images spread over the whole matrix. The embeddings are those
    that were given, not copies."""

    images: NDArray[np.float32]
    queries: NDArray[np.float32]
    top: NDArray[np.int64]
    own_ranks: NDArray[np.int64] | None
    text_ranks: NDArray[np.int64] | None
    classified: NDArray[np.bool_] | None
    sample: NDArray[np.float64]

    @property
    def zero_shot(self) -> float | None:
        """The share of images whose own label's prompt is the closest."""
        return None if self.classified is None else float(self.classified.mean())


def compare_embeddings(
    reference: NDArray[np.float32], variant: NDArray[np.float32]
) -> dict[str, float]:
    """How far a tower's outputs are from FP32's for the same inputs, both [n, dim].

    `cosine_p1` is the 1st percentile. `feature_mean_diff` and `feature_std_diff` are the mean
    absolute differences of the features' means and standard deviations over the inputs;
    `spread_ratio` compares the root mean square distance from the mean vector, 0 for outputs that
    are constant.
    """
    cosines = row_cosines(reference, variant)
    return {
        **with_intervals({"cosine_mean": cosines}),
        "cosine_min": float(cosines.min()),
        "cosine_p1": float(np.percentile(cosines, 1)),
        "mean_abs_diff": float(np.abs(reference - variant).mean(dtype=np.float64)),
        "feature_mean_diff": float(
            np.abs(reference.mean(0, np.float64) - variant.mean(0, np.float64)).mean()
        ),
        "feature_std_diff": float(
            np.abs(reference.std(0, np.float64) - variant.std(0, np.float64)).mean()
        ),
        "spread_ratio": spread(variant) / max(spread(reference), np.finfo(np.float64).tiny),
    }


def spread(rows: NDArray[np.float32]) -> float:
    """Root mean square distance of the rows [n, dim] from their mean."""
    return float(np.sqrt(rows.var(axis=0, dtype=np.float64).sum()))


def retrieve(
    images: NDArray[np.float32],
    queries: NDArray[np.float32],
    prompts: NDArray[np.float32] | None,
    targets: Targets,
) -> Retrieval:
    """Ranks all `images` [n, dim] for each of `queries` [q, dim] and the queries for the images
    that own some, and classifies the images with the label `prompts` [labels, dim]. Equal cosines
    rank by index. Holds one block of similarities at a time."""
    own_images = targets.own_images
    top = np.empty((len(queries), min(TAU_AT, len(images))), np.int64)
    own_ranks = None if own_images is None else np.empty(len(queries), np.int64)
    sample = []
    step = 1 + len(queries) // _SAMPLE_ROWS
    for part in blocks(len(queries), len(images)):
        cosines = queries[part] @ images.T
        top[part] = best_columns(cosines, top.shape[1])
        if own_images is not None and own_ranks is not None:
            own_ranks[part] = _first_ranks(
                cosines, own_images[part, None] == np.arange(len(images))
            )
        sample.append(cosines[-part.start % step :: step, :: 1 + len(images) // _SAMPLE_COLUMNS])
    classified = None
    if prompts is not None and targets.label_indices is not None:
        classified = (images @ prompts.T).argmax(1) == targets.label_indices
    return Retrieval(
        images=images,
        queries=queries,
        top=top,
        own_ranks=own_ranks,
        text_ranks=None if own_images is None else _rank_texts(images, queries, own_images),
        classified=classified,
        sample=np.concatenate([part.ravel() for part in sample]).astype(np.float64),
    )


def compare_retrieval(reference: Retrieval, variant: Retrieval) -> dict[str, float]:
    """Agreement of a pair of towers with the FP32 pair, on the same queries and images.

    `top1_match`: share of queries whose best image is the one FP32 finds; `top3_match`: FP32's best
    is among the first three; `overlap_at_10`: mean share of FP32's first ten that are in the first
    ten; `kendall_tau`: mean over the queries of Kendall's tau-b between the two orders of FP32's
    first 50 images; `recall_at_k`: share of queries whose own image is among the first k;
    `image_recall_at_k`: share of images that find one of their own queries among their first k;
    `*_change`: minus FP32's, query by query; `similarity_correlation`: Pearson's, of text-image
    cosines.
    """
    best = reference.top[:, :1]
    changes = {
        "overlap_at_10": shared_share(reference.top[:, :OVERLAP_AT], variant.top[:, :OVERLAP_AT])
    }
    metrics = {
        **share_with_interval("top1_match", variant.top[:, 0] == best[:, 0]),
        **share_with_interval("top3_match", (variant.top[:, :3] == best).any(1)),
        "kendall_tau": float(
            kendall_taus(
                _cosines_at(reference, reference.top), _cosines_at(variant, reference.top)
            ).mean()
        ),
        "similarity_correlation": _correlation(reference.sample, variant.sample),
        **_compare_recall("recall", reference.own_ranks, variant.own_ranks),
        **_compare_recall("image_recall", reference.text_ranks, variant.text_ranks),
    }
    if reference.own_ranks is not None and variant.own_ranks is not None:
        changes["recall_at_10_change"] = _hit_changes(reference.own_ranks, variant.own_ranks, 10)
    metrics |= with_intervals(changes)
    if reference.classified is not None and variant.classified is not None:
        metrics["zero_shot"] = float(variant.classified.mean())
        change = variant.classified.astype(np.float64) - reference.classified
        metrics |= with_intervals({"zero_shot_change": change})
    return metrics


def _rank_texts(
    images: NDArray[np.float32], queries: NDArray[np.float32], own_images: NDArray[np.int64]
) -> NDArray[np.int64]:
    owners = np.unique(own_images)
    ranks = np.empty(len(owners), np.int64)
    for part in blocks(len(owners), len(queries)):
        cosines = images[owners[part]] @ queries.T
        ranks[part] = _first_ranks(cosines, owners[part, None] == own_images)
    return ranks


def _first_ranks(cosines: NDArray[np.float32], right: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The place, from 0, of the first right column of each row; both [rows, columns]. Equal cosines
    rank by column."""
    value = np.where(right, cosines, -np.inf).max(1, keepdims=True)
    first = (right & (cosines == value)).argmax(1)[:, None]
    before = (cosines == value) & (np.arange(cosines.shape[1]) < first)
    return np.asarray((cosines > value).sum(1) + before.sum(1), np.int64)


def _cosines_at(retrieval: Retrieval, top: NDArray[np.int64]) -> NDArray[np.float32]:
    """float32 [q, k]: the cosines of each query with the images `top` [q, k]."""
    cosines = np.empty(top.shape, np.float32)
    for part in blocks(len(top), top.shape[1] * retrieval.images.shape[1]):
        rows = retrieval.images[top[part]]
        cosines[part] = (rows @ retrieval.queries[part, :, None])[:, :, 0]
    return cosines


def _compare_recall(
    name: str, reference: NDArray[np.int64] | None, variant: NDArray[np.int64] | None
) -> dict[str, float]:
    if reference is None or variant is None:
        return {}
    metrics = {}
    for k in RECALL_AT:
        metrics[f"{name}_at_{k}"] = float((variant < k).mean())
        metrics[f"{name}_at_{k}_change"] = float(_hit_changes(reference, variant, k).mean())
    return metrics


def _hit_changes(
    reference: NDArray[np.int64], variant: NDArray[np.int64], k: int
) -> NDArray[np.float64]:
    """1 for a query that finds its own only now, -1 for one that finds it no longer, else 0."""
    return np.asarray((variant < k).astype(np.float64) - (reference < k))


def _correlation(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    left, right = left - left.mean(), right - right.mean()
    scale = float(np.linalg.norm(left) * np.linalg.norm(right))
    # Constant similarities correlate with nothing, unless both are the same constant.
    return float(left @ right) / scale if scale > 0 else float(np.array_equal(left, right))
