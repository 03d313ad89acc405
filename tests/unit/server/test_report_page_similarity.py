from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from report_samples import make_details

from rsq_server.report_page.similarity import draw_histogram, draw_scatter, largest_difference

SAMPLE = make_details().similarities[0]


def path_of(picture: str, kind: str) -> str:
    svg = ElementTree.fromstring(picture)
    (path,) = (p.attrib["d"] for p in svg.iter("path") if kind in p.attrib["class"].split())
    return path


def test_equal_cosines_lie_on_the_diagonal() -> None:
    picture = draw_scatter(replace(SAMPLE, variant=SAMPLE.fp32), "v1")
    x1, y1, x2, y2 = map(float, re.findall(r"-?[\d.]+", path_of(picture, "diagonal")))
    dots = re.findall(r"M([\d.]+) ([\d.]+)h0", path_of(picture, "dots"))
    assert len(dots) == len(SAMPLE.fp32)
    for x, y in ((float(x), float(y)) for x, y in dots):
        assert (x - x1) / (x2 - x1) == pytest.approx((y - y1) / (y2 - y1), abs=2e-3)


def test_a_higher_cosine_of_the_variant_lies_above_the_diagonal() -> None:
    higher = replace(SAMPLE, fp32=(0.0,), variant=(0.1,))
    (_, y), (_, level) = (
        re.findall(r"M([\d.]+) ([\d.]+)h0", path_of(draw_scatter(sample, "v1"), "dots"))[0]
        for sample in (higher, replace(higher, variant=(0.0,)))
    )
    assert float(y) < float(level)


def test_the_histogram_has_a_step_for_each_bin_of_both() -> None:
    picture = draw_histogram(SAMPLE, "v1")
    for kind in ("area", "outline"):
        heights = [float(v) for v in re.findall(r"V([\d.]+)H", path_of(picture, kind))]
        assert len(heights) == len(SAMPLE.fp32_counts)
    assert heights[2] == min(heights)  # the fullest bin is the highest


def test_the_largest_difference_is_said() -> None:
    assert largest_difference(SAMPLE) == pytest.approx(0.004)
    assert "differ by at most 0.004" in draw_scatter(SAMPLE, "v1")


def test_samples_without_points_or_width_are_drawn() -> None:
    empty = replace(SAMPLE, fp32=(), variant=(), low=0.5, high=0.5, fp32_counts=(0,))
    empty = replace(empty, variant_counts=(0,))
    for draw in (draw_scatter, draw_histogram):
        assert "nan" not in draw(empty, "v1")
    assert largest_difference(empty) == 0.0
