"""Variants as the page orders and colours them: FP32 first and in ink, the others by place."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

REFERENCE = "fp32"
COLOURS = 7  # of the style sheet, beside FP32's


def order_variants(variants: Iterable[str]) -> list[str]:
    """Each variant once, FP32 first and the others as they come."""
    return sorted(dict.fromkeys(variants), key=lambda variant: variant != REFERENCE)


def colour_variants(variants: Iterable[str]) -> dict[str, str]:
    """The class of each variant's colour: v0 for FP32, then v1, v2, ... over and over."""
    numbers = count()
    return {
        variant: "v0" if variant == REFERENCE else f"v{next(numbers) % COLOURS + 1}"
        for variant in order_variants(variants)
    }
