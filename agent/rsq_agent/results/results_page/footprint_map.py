"""A map of footprints as SVG: the outlines on a graticule with a scale bar. There is no coastline,
since that would be data of others or a request to them.

The projection is equirectangular, true to scale along both axes in the middle of the map.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as Xml

from rsq_agent.results.results_page.markup import Element, add
from rsq_agent.results.results_page.regions import Extent, Region, extent_of, join_extents

WIDTH = 440.0
_MARGIN = 26.0  # holds the graticule's labels
_FLATTEST, _TALLEST = 0.5, 0.85  # height over width
_METRES_PER_DEGREE = math.pi / 180 * 6_371_008.8  # of latitude, at the earth's mean radius
_STEPS = (1.0, 2.0, 5.0)
_WHOLE_STEPS = (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0)
_LINES = 5  # of the graticule across the map, at most, so that their labels have room
_SCALE_WIDTH = 0.3  # of the map, at most
_SMALLEST = 14.0  # a footprint that is shown smaller gets a marker
_NEAR = 17.0  # labels closer than this would overlap


@dataclass(frozen=True)
class Frame:
    """What part of the earth a map shows, and where on it."""

    west: float
    north: float
    scale: float  # units of the picture to a degree of latitude
    narrowing: float
    height: float

    def place(self, longitude: float, latitude: float) -> tuple[float, float]:
        x = (longitude - self.west) * self.scale * self.narrowing
        return round(x, 2), round((self.north - latitude) * self.scale, 2)


def draw_region(region: Region, names: Mapping[int, str]) -> Element:
    """The outlines of a region, each a link to its hit; `names` says them by rank."""
    typical = sorted(extent_of(ring).span for ring in region.outlines.values())
    frame = fit_frame(region.extent, typical[len(typical) // 2])
    count = len(region.outlines)
    svg = _start(frame, f"Map of {count} {'footprint' if count == 1 else 'footprints'}")
    labels: list[tuple[float, float, int]] = []
    hidden: dict[int, int] = {}  # ranks whose number would cover another, by that other
    for rank, ring in sorted(region.outlines.items()):
        x, y = frame.place(*extent_of(ring).middle)
        near = [r for u, v, r in labels if math.hypot(u - x, v - y) < _NEAR]
        if near:
            hidden[near[0]] = hidden.get(near[0], 0) + 1
        else:
            labels.append((x, y, rank))
    for rank, ring in sorted(region.outlines.items(), reverse=True):  # the best on top
        link = add(
            svg,
            "a",
            id=f"place-{rank}",
            href=f"#hit-{rank}",
            class_="place",
            data_hit=rank,
            tabindex=-1,  # the hit's card leads here, and it comes in the order of reading
        )
        add(link, "title", names[rank])
        points = [frame.place(*corner) for corner in ring]
        add(link, "path", d=f"M{'L'.join(f'{x} {y}' for x, y in points)}Z")
        extent = extent_of(ring)
        if extent.span * frame.scale < _SMALLEST:
            add_circle(link, *frame.place(*extent.middle), 8)
    for x, y, rank in reversed(labels):
        label = add(svg, "text", str(rank), x=x, y=y + 4, class_="rank", aria_hidden="true")
        if rank in hidden:
            add(label, "tspan", f"+{hidden[rank]}", dx=2, class_="more")
    return _finish(svg, frame)


def draw_overview(regions: Sequence[Region], letters: Sequence[str]) -> Element:
    """Where the regions lie, each a link to its own map where it has a letter."""
    frame = fit_frame(join_extents(regions), 0.0)
    svg = _start(frame, f"Overview of {len(regions)} regions")
    for place, region in reversed(list(enumerate(regions))):
        x, y = frame.place(*region.extent.middle)
        count = len(region.outlines)
        title = f"{count} {'hit' if count == 1 else 'hits'}"
        if place < len(letters):
            link = add(svg, "a", href=f"#map-{letters[place]}", class_="region")
            add(link, "title", f"Region {letters[place]}: {title}")
            add_circle(link, x, y, 11)
            add(link, "text", letters[place], x=x, y=y + 4, class_="letter")
        else:
            dot = add(svg, "g", class_="region")
            add(dot, "title", title)
            add_circle(dot, x, y, 5)
    return _finish(svg, frame)


def add_circle(parent: Element, x: float, y: float, radius: float) -> None:
    add(parent, "circle", cx=x, cy=y, r=radius)


def fit_frame(extent: Extent, footprint: float) -> Frame:
    """A map of `extent` with some ground around it, so that one footprint alone, `footprint`
    degrees long, takes a third of it."""
    narrowing = extent.narrowing
    across = max((extent.east - extent.west) * narrowing, footprint * 3, 1e-6)
    down = max(extent.north - extent.south, footprint * 1.6, 1e-6)
    inner = WIDTH - 2 * _MARGIN
    height = min(max(inner * down / across, inner * _FLATTEST), inner * _TALLEST)
    scale = min(inner / across, height / down)
    x, y = extent.middle
    height += 2 * _MARGIN
    return Frame(
        west=x - WIDTH / 2 / scale / narrowing,
        north=y + height / 2 / scale,
        scale=scale,
        narrowing=narrowing,
        height=round(height, 1),
    )


def choose_step(span: float) -> float:
    """Degrees between the lines of a graticule, so that `span` degrees hold at most five."""
    least = span / _LINES
    if least >= 1:
        return next((step for step in _WHOLE_STEPS if step >= least), _WHOLE_STEPS[-1])
    return 1 / _round_down(1 / least)


def format_degrees(value: float, step: float, letters: str) -> str:
    """`value` with as many decimals as `step` has and the letter of its half of the globe, of
    `letters` the first above 0: "5.25° W"."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    text = f"{abs(value):.{decimals}f}\N{DEGREE SIGN}"
    if float(text[:-1]) in (0, 180):
        return text
    return f"{text}\N{NO-BREAK SPACE}{letters[0] if value > 0 else letters[1]}"


def format_length(metres: float) -> str:
    if metres >= 1000:
        return f"{metres / 1000:,.0f} km"
    return f"{metres:g} m"


def _start(frame: Frame, description: str) -> Element:
    svg = Xml.Element(
        "svg",
        {
            "viewBox": f"0 0 {WIDTH:g} {frame.height}",
            "class": "map",
            "role": "group",
            "aria-label": description,
        },
    )
    _draw_graticule(svg, frame)
    return svg


def _finish(svg: Element, frame: Frame) -> Element:
    """What is written over the map."""
    _label_graticule(svg, frame)
    _draw_scale(svg, frame)
    return svg


def _draw_graticule(svg: Element, frame: Frame) -> None:
    group = add(svg, "g", class_="graticule", aria_hidden="true")
    meridians, parallels, _ = _graticule(frame)
    for longitude in meridians:
        add(group, "path", d=f"M{frame.place(longitude, 0)[0]} 0V{frame.height}")
    for latitude in parallels:
        add(group, "path", d=f"M0 {frame.place(0, latitude)[1]}H{WIDTH:g}")


def _label_graticule(svg: Element, frame: Frame) -> None:
    group = add(svg, "g", class_="graticule", aria_hidden="true")
    meridians, parallels, step = _graticule(frame)
    for longitude in meridians:
        x, _ = frame.place(longitude, 0)
        if 1.5 * _MARGIN < x < WIDTH - 1.5 * _MARGIN:
            text = format_degrees((longitude + 180) % 360 - 180, step, "EW")
            add(group, "text", text, x=x, y=13, class_="middle")
    for latitude in parallels:
        _, y = frame.place(0, latitude)
        if 1.5 * _MARGIN < y < frame.height - _MARGIN:
            add(group, "text", format_degrees(latitude, step, "NS"), x=5, y=y - 4)


def _graticule(frame: Frame) -> tuple[list[float], list[float], float]:
    """Its longitudes, its latitudes, and the degrees between them."""
    across, down = WIDTH / frame.scale / frame.narrowing, frame.height / frame.scale
    step = choose_step(across)
    meridians = _multiples(step, frame.west, frame.west + across)
    parallels = _multiples(step, max(frame.north - down, -90), min(frame.north, 90))
    return meridians, parallels, step


def _draw_scale(svg: Element, frame: Frame) -> None:
    metres_per_unit = _METRES_PER_DEGREE / frame.scale
    metres = _round_down(WIDTH * _SCALE_WIDTH * metres_per_unit)
    length = round(metres / metres_per_unit, 2)
    right, bottom = WIDTH - 12, frame.height - 10
    group = add(svg, "g", class_="scale")
    add(group, "title", "Scale in the middle of the map")
    add(group, "path", d=f"M{right - length} {bottom - 5}v5h{length}v-5")
    add(group, "text", format_length(metres), x=right - length / 2, y=bottom - 6, class_="middle")


def _multiples(step: float, low: float, high: float) -> list[float]:
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _round_down(value: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not above `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    return max(step * power for step in _STEPS if step * power <= value * (1 + 1e-9))
