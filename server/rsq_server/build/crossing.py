"""Whether vectors of FP32 and of a variant are still one index: the cross-precision figures.

FP32 images searched with a variant's texts, and the reverse, are pairs like any other
(`compare_retrieval`). Here are the crossings that no pair shows: an index that holds both, and
images searched with images.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rsq_server.build.intervals import with_intervals
from rsq_server.build.metrics import OVERLAP_AT
from rsq_server.build.neighbours import find_nearest, shared_share
from rsq_server.gates import find_fault

SEED = 20_260_302
# Each searches the whole index, so their number times the images' is what this costs.
MAX_IMAGE_QUERIES = 2000

_COSTS = ("mixed_overlap_change", "cross_image_overlap_change")
_NEEDED = {"cosine_mean", "spread_ratio", *(f"{name}_high" for name in _COSTS)}


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


def may_share(metrics: Mapping[str, float]) -> bool:
    """Whether a collection may hold vectors of this vision artifact beside FP32's, by its metrics:
    only where it is healthy by itself and mixing costs no more than using it alone would.

    Two costs, because each misses what the other sees. A variant in a space of its own (rotated,
    say) answers images as well as FP32 while it is alone, and finds nothing of FP32's:
    `cross_image_overlap_change`. One whose cosines with every text are shifted ranks its own
    images as FP32 does, and in a mixed index puts all of them first or last:
    `mixed_overlap_change`. The mixed overlap itself proves nothing: with a variant that is never
    found, FP32's half of each answer is still right. Nor does a cost prove anything of a variant
    that a fixed gate refuses: mixing cannot make it worse.

    A cost counts as one where its whole 95 % interval lies below 0. What was not measured may not
    be shared.
    """
    if not metrics.keys() >= _NEEDED or find_fault(metrics) is not None:
        return False
    return all(metrics[f"{name}_high"] >= 0 for name in _COSTS)
