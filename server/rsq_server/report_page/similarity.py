"""How a variant's cosines compare with FP32's: a scatter plot, and the two histograms."""

from __future__ import annotations

from collections.abc import Sequence

from rsq_server.details import SimilaritySample
from rsq_server.report_page.chart import (
    BOTTOM,
    HEIGHT,
    add,
    finish_chart,
    start_chart,
    x_axis,
    y_axis,
)
from rsq_server.report_page.scale import Axis, percent, plain, widen


def draw_scatter(sample: SimilaritySample, mark: str) -> str:
    """A point for each text-image pair, FP32 across and the variant up, with the diagonal on which
    equal cosines lie."""
    low, high = widen(sample.low, sample.high, least=1e-6)
    x = x_axis("cosine, FP32", low, high, plain)
    y = y_axis("", low, high, plain)
    description = (
        f"Cosines of {len(sample.fp32)} text-image pairs by {sample.artifact} against FP32; "
        f"they differ by at most {largest_difference(sample):.2g}."
    )
    svg = start_chart(description, x, y)
    diagonal = f"M{x.place(low)} {y.place(low)}L{x.place(high)} {y.place(high)}"
    add(svg, "path", d=diagonal, class_="diagonal")
    # One path of dots weighs a tenth of as many circles.
    pairs = zip(sample.fp32, sample.variant, strict=True)
    dots = "".join(f"M{x.place(fp32)} {y.place(variant)}h0" for fp32, variant in pairs)
    add(svg, "path", d=dots, class_=f"dots {mark}")
    return finish_chart(svg)


def draw_histogram(sample: SimilaritySample, mark: str) -> str:
    """The shares of all sampled cosines in each bin: FP32 as an area, the variant as a line."""
    x = x_axis("cosine", *widen(sample.low, sample.high, least=1e-6), plain)
    fp32, variant = _to_shares(sample.fp32_counts), _to_shares(sample.variant_counts)
    y = y_axis("", 0.0, max(*fp32, *variant, 1e-6) * 1.08, percent)
    description = f"Histogram of cosines by FP32 and by {sample.artifact}."
    svg = start_chart(description, x, y)
    base = HEIGHT - BOTTOM
    area = f"M{x.place(sample.low)} {base}{_steps(fp32, sample, x, y)}V{base}Z"
    add(svg, "path", d=area, class_="area")
    line = f"M{x.place(sample.low)} {base}{_steps(variant, sample, x, y)}V{base}"
    add(svg, "path", d=line, class_=f"outline {mark}")
    return finish_chart(svg)


def largest_difference(sample: SimilaritySample) -> float:
    """Among the scattered pairs."""
    pairs = zip(sample.fp32, sample.variant, strict=True)
    return max((abs(fp32 - variant) for fp32, variant in pairs), default=0.0)


def _to_shares(counts: Sequence[int]) -> list[float]:
    total = max(1, sum(counts))
    return [count / total for count in counts]


def _steps(shares: Sequence[float], sample: SimilaritySample, x: Axis, y: Axis) -> str:
    width = (sample.high - sample.low) / len(shares)
    return "".join(
        f"V{y.place(share)}H{x.place(sample.low + (number + 1) * width)}"
        for number, share in enumerate(shares)
    )
