"""The frame of every chart: an SVG of one size with two axes, to be drawn into.

Text goes through ElementTree, which escapes it. Colours are classes of the style sheet, so that
one chart serves a light and a dark page.
"""

from __future__ import annotations

from xml.etree import ElementTree as Xml

from rsq_server.report_page.scale import Axis, Form

WIDTH, HEIGHT = 320, 236
LEFT, RIGHT, TOP, BOTTOM = 50, 10, 12, 42  # margins
_TICK = 8  # from the axis to its numbers

Element = Xml.Element


def x_axis(label: str, low: float, high: float, form: Form) -> Axis:
    return Axis(label, low, high, LEFT, WIDTH - RIGHT, form)


def y_axis(label: str, low: float, high: float, form: Form) -> Axis:
    return Axis(label, low, high, HEIGHT - BOTTOM, TOP, form)


def start_chart(description: str, x: Axis, y: Axis) -> Element:
    """`description` is what a screen reader says instead of the picture."""
    svg = Xml.Element(
        "svg",
        {
            "viewBox": f"0 0 {WIDTH} {HEIGHT}",
            "class": "chart",
            "role": "img",
            "aria-label": description,
        },
    )
    for value, text in y.ticks():
        place = y.place(value)
        add(svg, "path", d=f"M{LEFT} {place}H{WIDTH - RIGHT}", class_="grid")
        add(svg, "text", text, x=LEFT - _TICK, y=place + 4, class_="tick end")
    for value, text in x.ticks():
        place = x.place(value)
        add(svg, "path", d=f"M{place} {HEIGHT - BOTTOM}v4", class_="axis")
        add(svg, "text", text, x=place, y=HEIGHT - BOTTOM + 17, class_="tick middle")
    add(svg, "path", d=f"M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}", class_="axis")
    middle = (LEFT + WIDTH - RIGHT) / 2
    add(svg, "text", x.label, x=middle, y=HEIGHT - 6, class_="label middle")
    # The y axis is named above the chart, where it needs no turned text.
    return svg


def add(parent: Element, tag: str, text: str | None = None, **attributes: object) -> Element:
    """A child with `attributes`, whose names lose a trailing underscore."""
    fields = {name.rstrip("_"): str(value) for name, value in attributes.items()}
    child = Xml.SubElement(parent, tag, fields)
    child.text = text
    return child


def finish_chart(svg: Element) -> str:
    """The chart as markup, which the template must not escape again."""
    return Xml.tostring(svg, encoding="unicode")
