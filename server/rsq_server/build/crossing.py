"""Whether vectors of FP32 and of a variant are still one index: the cross-precision figures.

FP32 images searched with a variant's texts, and the reverse, are pairs like any other
(`compare_retrieval`). Here are the crossings that no pair shows: an index that holds both, and
images searched with images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rsq_server.build.intervals import with_intervals
from rsq_server.build.metrics import OVERLAP_AT
from rsq_server.build.neighbours import find_nearest, shared_share

SEED = 20_260_302
# Each searches the whole index, so their number times the images' is what this costs.
MAX_IMAGE_QUERIES = 2000


def compare_crossings(
    reference: NDArray[np.float32], variant: NDArray[np.float32], queries: NDArray[np.float32]
) -> dict[str, float]:
    """What happens where a vision variant's vectors meet FP32's: `reference` and `variant` [n, dim]
    are the same images, `queries` [q, dim] FP32's texts.

    In the mixed index a seeded half of the images is FP32's and the rest the variant's.
    `mixed_top1_match` and `mixed_overlap_at_10` compare what the queries find there with the pure
    FP32 index; `mixed_overlap_change` is the overlap minus that of the variant's pure index.
    With images as queries, each not finding itself: `image_overlap_at_10` is the variant searching
    its own index against FP32 searching its own, `cross_image_overlap_at_10` the variant searching
    FP32's, `cross_image_overlap_change` the latter minus the former. Both changes come with their
    95 % intervals. Of fewer than two images, only the first three are given.
    """
    random = np.random.default_rng(SEED)
    of_variant = random.permutation(len(reference)) < len(reference) // 2
    mixed_index = np.where(of_variant[:, None], variant, reference)
    right = find_nearest(reference, queries, OVERLAP_AT)
    found = find_nearest(mixed_index, queries, OVERLAP_AT)
    mixed = shared_share(right, found)
    alone = shared_share(right, find_nearest(variant, queries, OVERLAP_AT))
    metrics = {
        "mixed_top1_match": float((found[:, 0] == right[:, 0]).mean()),
        "mixed_overlap_at_10": float(mixed.mean()),
        **with_intervals({"mixed_overlap_change": mixed - alone}),
    }
    if len(reference) < 2:
        return metrics
    own = np.sort(random.permutation(len(reference))[:MAX_IMAGE_QUERIES])
    right = find_nearest(reference, reference[own], OVERLAP_AT, own=own)
    alone = shared_share(right, find_nearest(variant, variant[own], OVERLAP_AT, own=own))
    crossed = shared_share(right, find_nearest(reference, variant[own], OVERLAP_AT, own=own))
    return {
        **metrics,
        "image_overlap_at_10": float(alone.mean()),
        "cross_image_overlap_at_10": float(crossed.mean()),
        **with_intervals({"cross_image_overlap_change": crossed - alone}),
    }
