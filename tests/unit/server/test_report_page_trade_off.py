from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from rsq_server.report_page.chart import HEIGHT, LEFT, RIGHT, WIDTH
from rsq_server.report_page.scale import plain
from rsq_server.report_page.trade_off import Point, draw_trade_off

REFERENCE = Point("fp32", "v0", 50.0, 1.0, 1.0, 1.0)
INT8 = Point("int8", "v2", 20.0, 0.97, 0.96, 0.98)


def draw(*points: Point) -> ElementTree.Element:
    return ElementTree.fromstring(draw_trade_off("a chart", "p50 ms", plain, points))


def circles(svg: ElementTree.Element) -> list[tuple[float, float]]:
    return [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in svg.iter("circle")]


def test_cheaper_is_further_left_and_more_accurate_further_up() -> None:
    (reference, int8) = circles(draw(REFERENCE, INT8))
    assert int8[0] < reference[0]
    assert int8[1] > reference[1]


def test_the_interval_is_drawn_around_the_point_where_there_is_one() -> None:
    svg = draw(REFERENCE, INT8)
    (bar,) = (p.attrib["d"] for p in svg.iter("path") if p.attrib["class"] == "interval")
    match = re.match(r"M([\d.]+) ([\d.]+)V([\d.]+)", bar)
    assert match is not None
    place, low, high = map(float, match.groups())
    ((_, _), (x, y)) = circles(svg)
    assert place == x
    assert high < y < low  # up is smaller


def test_names_are_text() -> None:
    svg = draw(Point("<b>&", "v1", 1.0, 0.9, 0.9, 0.9))
    assert [t.text for t in svg.iter("text") if "name" in t.attrib["class"]] == ["<b>&"]
    assert svg.attrib["role"] == "img"
    assert svg.attrib["aria-label"] == "a chart"


def test_close_points_get_names_that_can_be_read() -> None:
    points = [Point(f"int8-{n}", "v1", 50.0 + n, 1 - n / 5000, 0.99, 1.0) for n in range(4)]
    places = [
        (float(t.attrib["x"]), float(t.attrib["y"]))
        for t in draw(*points).iter("text")
        if "name" in t.attrib["class"]
    ]
    assert all(abs(a[0] - b[0]) > 20 or abs(a[1] - b[1]) > 9 for a, b in combinations(places, 2))


points = st.builds(
    lambda cost, accuracy, below, above: Point(
        "int8", "v1", cost, accuracy, accuracy - below, min(1.0, accuracy + above)
    ),
    st.floats(1e-3, 1e6),
    st.floats(0.1, 1),
    st.floats(0, 0.1),
    st.floats(0, 0.1),
)


@given(st.lists(points, min_size=1, max_size=6))
def test_every_point_lies_inside_the_frame(some: list[Point]) -> None:
    for x, y in circles(draw(*some)):
        assert LEFT <= x <= WIDTH - RIGHT
        assert 0 <= y <= HEIGHT
