from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsq_agent.results.results_page.footprint_map import (
    WIDTH,
    choose_step,
    draw_overview,
    draw_region,
    fit_frame,
    format_degrees,
    format_length,
)
from rsq_agent.results.results_page.markup import Element
from rsq_agent.results.results_page.regions import Extent, Region, extent_of, find_regions

NBSP = "\N{NO-BREAK SPACE}"


def texts(svg: Element) -> list[str]:
    return [text.text or "" for text in svg.iter("text")]


def make_region(side: float, longitude: float, latitude: float) -> Region:
    x, y = longitude, latitude
    ring = ((x, y), (x + side, y), (x + side, y + side), (x, y + side))
    return Region(extent_of(ring), {1: ring})


@given(
    longitude=st.floats(-180, 180),
    latitude=st.floats(-85, 80),
    side=st.floats(1e-5, 5),
)
def test_the_whole_footprint_lies_on_the_map_among_some_lines(
    longitude: float, latitude: float, side: float
) -> None:
    region = make_region(side, longitude, latitude)
    svg = draw_region(region, {1: "Hit 1"})
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    (link,) = svg.iter("a")
    (path,) = link.iter("path")
    numbers = [float(n) for n in re.findall(r"-?[\d.]+", path.attrib["d"])]
    assert all(0 < x < width for x in numbers[::2])
    assert all(0 < y < height for y in numbers[1::2])
    graticule = next(group for group in svg.iter("g") if group.attrib["class"] == "graticule")
    assert 2 <= len(list(graticule)) <= 14


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    svg = draw_region(make_region(0.05, 4, 51.9), {1: "Hit 1"})
    scale = next(group for group in svg.iter("g") if group.attrib["class"] == "scale")
    path, text = scale.find("path"), scale.find("text")
    assert path is not None
    assert text is not None
    frame = fit_frame(extent_of(make_region(0.05, 4, 51.9).outlines[1]), 0.05)
    metres_a_unit = math.radians(1) * 6_371_008.8 / frame.scale
    length = float(path.attrib["d"].split("h")[1].split("v")[0])
    number, unit = (text.text or "").split()
    told = float(number) * (1000 if unit == "km" else 1)
    assert length * metres_a_unit == pytest.approx(told, rel=1e-3)
    assert length < WIDTH / 3


def test_a_degree_east_is_drawn_shorter_than_one_north_as_on_the_earth() -> None:
    frame = fit_frame(Extent(10, 59.9, 10.2, 60.1), 0.05)
    x, y = frame.place(10, 60)
    east, north = frame.place(10.1, 60)[0] - x, y - frame.place(10, 60.1)[1]
    assert east / north == pytest.approx(0.5, rel=1e-3)


@given(st.floats(1e-6, 360))
def test_a_graticule_has_at_most_five_steps_across_the_map(span: float) -> None:
    step = choose_step(span)
    assert span / step <= 5 * (1 + 1e-9)
    assert span / step >= 1.9 or step <= 90


@pytest.mark.parametrize(
    ("value", "step", "letters", "text"),
    [
        (-122.35, 0.05, "EW", f"122.35°{NBSP}W"),
        (4, 1, "EW", f"4°{NBSP}E"),
        (-0.002, 0.001, "NS", f"0.002°{NBSP}S"),
        (0, 5, "EW", "0°"),
        (-180, 60, "EW", "180°"),
        (51.5, 0.5, "NS", f"51.5°{NBSP}N"),
    ],
)
def test_degrees_are_written_as_finely_as_the_lines_lie(
    value: float, step: float, letters: str, text: str
) -> None:
    assert format_degrees(value, step, letters) == text


def test_lengths_are_in_metres_below_a_kilometre() -> None:
    assert [format_length(m) for m in (500, 1000, 20_000, 5_000_000)] == [
        "500 m",
        "1 km",
        "20 km",
        "5,000 km",
    ]


def test_footprints_on_top_of_each_other_share_a_label_that_counts_them() -> None:
    ring = make_region(0.01, 4, 51).outlines[1]
    far = make_region(0.01, 4.1, 51).outlines[1]
    (region,) = find_regions({1: ring, 2: far, 3: ring, 4: ring})
    svg = draw_region(region, {n: f"Hit {n}" for n in range(1, 5)})
    labels = [text for text in svg.iter("text") if text.attrib.get("class") == "rank"]
    told = {label.text: [span.text for span in label.iter("tspan")] for label in labels}
    assert told == {"1": ["+2"], "2": []}
    assert [link.attrib["id"] for link in svg.iter("a")][-1] == "place-1"  # the best on top


def test_regions_beyond_the_letters_are_dots_without_a_link() -> None:
    regions = [make_region(0.01, 10.0 * n, 0) for n in range(3)]
    svg = draw_overview(regions, ["A", "B"])
    assert [link.attrib["href"] for link in svg.iter("a")] == ["#map-B", "#map-A"]
    assert len(list(svg.iter("circle"))) == 3
    assert {"A", "B"} <= set(texts(svg))
