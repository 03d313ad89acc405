from __future__ import annotations

from xml.etree import ElementTree

from rsq_server.report_page.chart import (
    HEIGHT,
    WIDTH,
    add,
    finish_chart,
    start_chart,
    x_axis,
    y_axis,
)
from rsq_server.report_page.scale import percent, plain


def test_the_frame_names_its_axes_and_ticks_inside_the_picture() -> None:
    svg = start_chart("a chart", x_axis("cost", 0, 10, plain), y_axis("", 0.5, 1, percent))
    parsed = ElementTree.fromstring(finish_chart(svg))
    assert parsed.attrib["viewBox"] == f"0 0 {WIDTH} {HEIGHT}"
    texts = [text.text for text in parsed.iter("text")]
    assert texts[-1] == "cost"
    assert {"50%", "100%", "0", "10"} <= set(texts)
    for text in parsed.iter("text"):
        assert 0 <= float(text.attrib["x"]) <= WIDTH
        assert 0 <= float(text.attrib["y"]) <= HEIGHT


def test_text_and_attributes_are_escaped() -> None:
    svg = start_chart('"><script>', x_axis("<x>", 0, 1, plain), y_axis("", 0, 1, plain))
    add(svg, "text", "</svg>", class_="a & b")
    page = finish_chart(svg)
    assert "<script>" not in page
    assert page.count("</svg>") == 1
    parsed = ElementTree.fromstring(page)
    assert parsed.attrib["aria-label"] == '"><script>'
    assert [t.attrib["class"] for t in parsed.iter("text")][-1] == "a & b"
