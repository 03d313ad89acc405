"""Accuracy of embeddings against FP32's, as plain arithmetic on arrays.

Shares are fractions 0..1. Embeddings are float32 [n, dim], L2-normalised. Queries are the texts
that search the set: the first caption of each image that has one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsq.similarity import row_cosines

RECALL_AT = (1, 5, 10)
OVERLAP_AT = 10
QUERY_BLOCK = 512  # rows of the similarity matrix in memory at once


@dataclass(frozen=True)
class Targets:
    """What is right. `own_images` int64 [q]: the image each query was written for, None where
    queries belong to no image. `label_indices` int64 [n]: each image's row among the label
    prompts, None where the set has no labels."""

    own_images: NDArray[np.int64] | None
    label_indices: NDArray[np.int64] | None


@dataclass(frozen=True)
class Retrieval:
    """What one pair of towers finds. `top` int64 [q, min(10, n)]: the best images of each query,
    best first; `own_ranks` int64 [q]: the place of its own image, from 0; `zero_shot`: the share
    of images whose own label's prompt is the closest; `sample` float64: cosines of queries and
    images spread over the whole matrix."""

    top: NDArray[np.int64]
    own_ranks: NDArray[np.int64] | None
    zero_shot: float | None
    sample: NDArray[np.float64]


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
        "cosine_mean": float(cosines.mean()),
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
    """Ranks all `images` [n, dim] for each of `queries` [q, dim] and classifies them with the label
    `prompts` [labels, dim]. Equal cosines rank by index."""
    count = min(OVERLAP_AT, len(images))
    tops, ranks, sample = [], [], []
    for start in range(0, len(queries), QUERY_BLOCK):
        cosines = queries[start : start + QUERY_BLOCK] @ images.T
        tops.append(np.argsort(-cosines, axis=1, kind="stable")[:, :count])
        if targets.own_images is not None:
            own = targets.own_images[start : start + QUERY_BLOCK, None]
            value = np.take_along_axis(cosines, own, 1)
            before = (cosines == value) & (np.arange(len(images)) < own)
            ranks.append((cosines > value).sum(1) + before.sum(1))
        sample.append(cosines[:, :: max(1, len(images) // 100)].ravel())
    zero_shot = None
    if prompts is not None and targets.label_indices is not None:
        zero_shot = float(((images @ prompts.T).argmax(1) == targets.label_indices).mean())
    return Retrieval(
        top=np.concatenate(tops).astype(np.int64),
        own_ranks=np.concatenate(ranks).astype(np.int64) if ranks else None,
        zero_shot=zero_shot,
        sample=np.concatenate(sample).astype(np.float64),
    )


def compare_retrieval(reference: Retrieval, variant: Retrieval) -> dict[str, float]:
    """Agreement of a pair of towers with the FP32 pair.

    `top1_match`: share of queries whose best image is the one FP32 finds; `top3_match`: FP32's best
    is among the first three; `overlap_at_10`: mean share of FP32's first ten that are in the first
    ten; `recall_at_k`: share of queries whose own image is among the first k; `*_change`: minus
    FP32's; `similarity_correlation`: Pearson's, of text-image cosines.
    """
    best = reference.top[:, :1]
    shared = (reference.top[:, :, None] == variant.top[:, None, :]).any(2)
    metrics = {
        "top1_match": float((variant.top[:, 0] == best[:, 0]).mean()),
        "top3_match": float((variant.top[:, :3] == best).any(1).mean()),
        "overlap_at_10": float(shared.mean()),
        "similarity_correlation": _correlation(reference.sample, variant.sample),
    }
    if reference.own_ranks is not None and variant.own_ranks is not None:
        for k in RECALL_AT:
            recall = float((variant.own_ranks < k).mean())
            metrics[f"recall_at_{k}"] = recall
            metrics[f"recall_at_{k}_change"] = recall - float((reference.own_ranks < k).mean())
    if reference.zero_shot is not None and variant.zero_shot is not None:
        metrics["zero_shot"] = variant.zero_shot
        metrics["zero_shot_change"] = variant.zero_shot - reference.zero_shot
    return metrics


def _correlation(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    left, right = left - left.mean(), right - right.mean()
    scale = float(np.linalg.norm(left) * np.linalg.norm(right))
    # Constant similarities correlate with nothing, unless both are the same constant.
    return float(left @ right) / scale if scale > 0 else float(np.array_equal(left, right))
