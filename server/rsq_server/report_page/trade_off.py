"""Accuracy against cost: a point for each variant of a tower, with the interval of its accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rsq_server.report_page.chart import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    Element,
    add,
    finish_chart,
    start_chart,
    x_axis,
    y_axis,
)
from rsq_server.report_page.scale import Axis, Form, percent, widen

_LEAST_SPAN = 0.02  # of the accuracy axis: less would make a mountain of a rounding
_CHARACTER, _LINE = 7.2, 13  # the size of a label's letters, about
_RADIUS = 5.5

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class _Label:
    """Where a name stands: its anchor in SVG's words, its place, and what it covers, about."""

    anchor: str
    x: float
    y: float
    box: Box


@dataclass(frozen=True)
class Point:
    """`mark` is the class of the variant's colour; `low` and `high` the interval of `accuracy`,
    equal to it where there is none."""

    name: str
    mark: str
    cost: float
    accuracy: float
    low: float
    high: float


def draw_trade_off(description: str, cost_label: str, form: Form, points: Sequence[Point]) -> str:
    """`points` are not empty; costs are at least 0 and one is above."""
    x = x_axis(cost_label, 0.0, max(point.cost for point in points) * 1.2, form)
    low, high = widen(
        min(point.low for point in points), max(point.high for point in points), least=_LEAST_SPAN
    )
    y = y_axis("", low, min(high, 1 + (1 - low) / 20), percent)
    svg = start_chart(description, x, y)
    for point in points:
        _draw_point(svg, point, x, y)
    solid = [_circle_box(point, x, y) for point in points]
    thin = [_interval_box(point, x, y) for point in points]
    for point in points:
        label = _place_label(point, x, y, solid, thin)
        solid.append(label.box)
        marks = f"name {label.anchor} {point.mark}"
        add(svg, "text", point.name, x=label.x, y=label.y, class_=marks)
    return finish_chart(svg)


def _draw_point(svg: Element, point: Point, x: Axis, y: Axis) -> None:
    group = add(svg, "g", class_=point.mark)
    cost, accuracy = x.place(point.cost), y.place(point.accuracy)
    add(group, "title", f"{point.name}: {percent(point.accuracy, 4)}")
    if point.low < point.high:
        low, high = y.place(point.low), y.place(point.high)
        bar = f"M{cost} {low}V{high}M{cost - 4} {low}h8M{cost - 4} {high}h8"
        add(group, "path", d=bar, class_="interval")
    add(group, "circle", cx=cost, cy=accuracy, r=_RADIUS, class_="point")


def _place_label(point: Point, x: Axis, y: Axis, solid: list[Box], thin: list[Box]) -> _Label:
    """The place nearest to the point where its name covers neither a point nor a name (`solid`),
    and no interval (`thin`) if that can be had."""
    places = _list_places(point, x.place(point.cost), y.place(point.accuracy))
    free = [label for label in places if _is_inside(label.box) and not _meets(label.box, solid)]
    return next((label for label in free if not _meets(label.box, thin)), (free or places)[0])


def _list_places(point: Point, cost: float, accuracy: float) -> list[_Label]:
    """Beside, above and below the point, then beside it and a line or more off."""
    width, gap = len(point.name) * _CHARACTER, _RADIUS + 4

    def beside(base: float) -> list[_Label]:
        return [_label("start", cost + gap, base, width), _label("end", cost - gap, base, width)]

    middle = accuracy + 4
    above, below = accuracy - gap, accuracy + gap + 9
    places = beside(middle)
    places += [_label("middle", cost, base, width) for base in (above, below)]
    for lines in (1, 2, 3, 4):
        places += beside(middle + lines * _LINE) + beside(middle - lines * _LINE)
    return places


def _label(anchor: str, x: float, base: float, width: float) -> _Label:
    left = {"start": x, "middle": x - width / 2, "end": x - width}[anchor]
    return _Label(anchor, round(x, 1), round(base, 1), (left, base - 10, left + width, base + 3))


def _circle_box(point: Point, x: Axis, y: Axis) -> Box:
    cost, accuracy = x.place(point.cost), y.place(point.accuracy)
    return cost - _RADIUS, accuracy - _RADIUS, cost + _RADIUS, accuracy + _RADIUS


def _interval_box(point: Point, x: Axis, y: Axis) -> Box:
    cost = x.place(point.cost)
    return cost - 2, y.place(point.high), cost + 2, y.place(point.low)


def _is_inside(box: Box) -> bool:
    left, top, right, bottom = box
    return left >= LEFT and top >= 0 and right <= WIDTH - RIGHT and bottom <= HEIGHT - BOTTOM


def _meets(box: Box, others: list[Box]) -> bool:
    left, top, right, bottom = box
    return any(left < o[2] and o[0] < right and top < o[3] and o[1] < bottom for o in others)
