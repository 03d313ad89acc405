"""Which artifacts of a version are sound, and which may fill one collection together, by what was
measured of them: the publisher judges by it, and a node keeps to it."""

from __future__ import annotations

from collections.abc import Mapping

# An embedding this far from FP32's finds other images: on real scenes even stock dynamic INT8
# stays above 0.999, and only a broken recipe comes near this floor.
COSINE_MEAN_MIN = 0.95
# Healthy variants keep the spread of the embeddings within a few percent; constant outputs have
# none, and can still have a high cosine where all of FP32's vectors lie close together.
SPREAD_RATIO_MIN = 0.5
# A vector must not depend on its batch mates. Other kernels for other batch sizes round to within
# 1e-6; stock dynamic INT8, with one scale for the whole batch, falls below 0.998.
BATCH_COSINE_MIN = 0.99999

_MATES = {
    "batch_cosine_min": "gives other vectors in a batch than alone",
    "padding_cosine_min": "gives a text other vectors beside short and long texts",
}
_COSTS = ("mixed_overlap_change", "cross_image_overlap_change")
_NEEDED = {"cosine_mean", "spread_ratio", *(f"{name}_high" for name in _COSTS)}


def find_fault(metrics: Mapping[str, float]) -> str | None:
    """Why an artifact with these metrics is refused whatever the user asks for, or None."""
    # `not >=` also refuses NaN.
    if not metrics["cosine_mean"] >= COSINE_MEAN_MIN:
        return f"mean cosine to FP32 {metrics['cosine_mean']:.4f}, floor {COSINE_MEAN_MIN}"
    if not metrics["spread_ratio"] >= SPREAD_RATIO_MIN:
        return (
            f"nearly constant outputs: {metrics['spread_ratio']:.1%} of FP32's spread, "
            f"floor {SPREAD_RATIO_MIN:.0%}"
        )
    for name, words in _MATES.items():
        if name in metrics and not metrics[name] >= BATCH_COSINE_MIN:
            return f"{words}: cosine {metrics[name]:.6f}, floor {BATCH_COSINE_MIN}"
    return None


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
