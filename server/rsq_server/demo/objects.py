"""Things that stand on the ground in more than one kind of scene. Sizes in scene units."""

from __future__ import annotations

import math

import numpy as np

from rsq_server.demo.canvas import Canvas, Point, darken, make_box, place, vary
from rsq_server.demo.drawing import pick
from rsq_server.demo.terrain import Colour

CONTAINERS: tuple[Colour, ...] = (
    (176, 58, 46),
    (36, 98, 156),
    (214, 136, 44),
    (62, 128, 82),
    (206, 206, 200),
    (120, 60, 44),
    (44, 62, 96),
    (226, 190, 70),
)
HULLS: tuple[Colour, ...] = ((48, 54, 66), (122, 44, 38), (36, 62, 98), (58, 84, 70), (92, 92, 96))
TREES: tuple[Colour, ...] = ((52, 84, 44), (64, 96, 50), (44, 74, 42), (76, 104, 56))
ROOFS: tuple[Colour, ...] = (
    (176, 92, 66),
    (158, 76, 58),
    (150, 112, 88),
    (128, 128, 130),
    (188, 124, 88),
)


def draw_tree(rng: np.random.Generator, canvas: Canvas, centre: Point, radius: float) -> None:
    """One crown: shadow, disc, sunlit side."""
    colour = vary(rng, pick(rng, TREES))
    canvas.disc(centre, radius, colour, height=radius * 0.5)
    canvas.disc(canvas.towards_sun(centre, radius * 0.3), radius * 0.5, darken(colour, 1.25))


def draw_house(
    rng: np.random.Generator, canvas: Canvas, centre: Point, size: tuple[float, float], angle: float
) -> None:
    """A gabled house: one half of the roof lies in the light, the other in the shade."""
    length, width = size
    colour = vary(rng, pick(rng, ROOFS), 20)
    canvas.box(centre, length, width, darken(colour, 1.12), angle=angle, height=width * 0.35)
    half = place(centre, angle, 0.0, width / 4)
    canvas.box(half, length, width / 2, darken(colour, 0.8), angle=angle)


def draw_tank(rng: np.random.Generator, canvas: Canvas, centre: Point, radius: float) -> None:
    """A cylindrical storage tank with a bund around it and a rim that shows its shaded inside."""
    colour = vary(rng, pick(rng, ((232, 232, 226), (216, 218, 214), (222, 212, 192))), 8)
    canvas.disc(centre, radius * 1.25, (150, 142, 128))
    canvas.disc(centre, radius, darken(colour, 0.82), height=radius * 0.9)
    canvas.disc(canvas.towards_sun(centre, radius * 0.1), radius * 0.84, colour)
    canvas.disc(centre, radius * 0.12, darken(colour, 0.6))


def draw_containers(
    rng: np.random.Generator,
    canvas: Canvas,
    centre: Point,
    size: tuple[float, float],
    angle: float,
    *,
    height: float = 0.012,
) -> None:
    """A block of stacked containers, their long side along `angle`; a few places are empty."""
    length, width = size
    columns, rows = max(1, round(length / 0.045)), max(1, round(width / 0.017))
    canvas.box(centre, length, width, (96, 92, 90), angle=angle, height=height)
    for column in range(columns):
        for row in range(rows):
            if rng.random() < 0.06:
                continue
            along = (column + 0.5) / columns * length - length / 2
            across = (row + 0.5) / rows * width - width / 2
            spot = place(centre, angle, along, across)
            colour = vary(rng, pick(rng, CONTAINERS), 12)
            canvas.box(spot, length / columns * 0.92, width / rows * 0.86, colour, angle=angle)


def draw_ship(
    rng: np.random.Generator,
    canvas: Canvas,
    centre: Point,
    length: float,
    angle: float,
    *,
    cargo: str,
) -> None:
    """A large ship, bow towards `angle`. `cargo` is "containers", "oil" or "bulk"."""
    beam = length * 0.17
    hull = vary(rng, pick(rng, HULLS))
    outline = [
        place(centre, angle, length * along, beam * across)
        for along, across in (
            (-0.5, -0.36),
            (-0.46, -0.5),
            (0.3, -0.5),
            (0.42, -0.3),
            (0.5, 0.0),
            (0.42, 0.3),
            (0.3, 0.5),
            (-0.46, 0.5),
            (-0.5, 0.36),
        )
    ]
    canvas.polygon(outline, darken(hull, 1.1), height=beam * 0.45)
    deck: Colour = {"containers": (108, 104, 100), "oil": (150, 66, 52), "bulk": (104, 116, 100)}[
        cargo
    ]
    middle = place(centre, angle, -0.02 * length, 0.0)
    canvas.box(middle, length * 0.78, beam * 0.8, vary(rng, deck), angle=angle)
    hold = place(centre, angle, 0.06 * length, 0.0)
    if cargo == "containers":
        draw_containers(rng, canvas, hold, (length * 0.62, beam * 0.76), angle, height=0.0)
    elif cargo == "oil":
        canvas.path(
            [place(centre, angle, -0.25 * length, 0.0), place(centre, angle, 0.4 * length, 0.0)],
            beam * 0.1,
            (222, 214, 196),
        )
        for along in (-0.1, 0.06, 0.22):
            spot = place(centre, angle, along * length, 0.0)
            canvas.box(spot, beam * 0.12, beam * 0.7, (206, 196, 180), angle=angle)
    else:
        hatch = vary(rng, pick(rng, ((196, 174, 130), (90, 120, 140), (170, 170, 164))))
        for along in (-0.2, -0.06, 0.08, 0.22):
            spot = place(centre, angle, (along + 0.04) * length, 0.0)
            canvas.box(spot, length * 0.11, beam * 0.6, hatch, angle=angle)
    bridge = place(centre, angle, -0.38 * length, 0.0)
    canvas.box(bridge, length * 0.09, beam * 0.86, (240, 240, 236), angle=angle, height=beam * 0.3)
    canvas.box(place(centre, angle, -0.43 * length, 0.0), beam * 0.2, beam * 0.2, hull, angle=angle)


def draw_boat(canvas: Canvas, centre: Point, length: float, angle: float) -> None:
    """A small white boat with its wake behind it."""
    wake = [
        place(centre, angle, -length * 3.2, -length * 0.7),
        place(centre, angle, 0.0, 0.0),
        place(centre, angle, -length * 3.2, length * 0.7),
    ]
    canvas.polygon(wake, (226, 236, 238, 70))
    beam = length * 0.34
    shape = ((-0.5, -0.5), (0.15, -0.5), (0.5, 0.0), (0.15, 0.5), (-0.5, 0.5))
    canvas.polygon([place(centre, angle, length * x, beam * y) for x, y in shape], (244, 244, 240))


def draw_aeroplane(
    rng: np.random.Generator, canvas: Canvas, centre: Point, length: float, angle: float
) -> None:
    """An airliner, nose towards `angle`, with swept wings as long as its fuselage."""
    colour = vary(rng, (240, 241, 243), 6)

    def draw_part(corners: tuple[Point, ...], fill: Colour, height: float) -> None:
        points = [place(centre, angle, length * x, length * y) for x, y in corners]
        canvas.polygon(points, fill, height=height)

    shadow = length * 0.12
    for side in (-1.0, 1.0):
        wing = ((0.14, 0.04 * side), (-0.14, 0.5 * side), (-0.22, 0.5 * side), (-0.08, 0.04 * side))
        draw_part(wing, darken(colour, 0.9), shadow)
        tail = (
            (-0.36, 0.03 * side),
            (-0.46, 0.18 * side),
            (-0.51, 0.18 * side),
            (-0.46, 0.02 * side),
        )
        draw_part(tail, darken(colour, 0.9), shadow)
        engine = make_box((0.06, 0.19 * side), 0.12, 0.05, 0.0)
        draw_part(tuple(engine), (130, 132, 138), 0.0)
    body = (
        (0.5, 0.0),
        (0.44, 0.045),
        (0.34, 0.06),
        (-0.3, 0.06),
        (-0.5, 0.015),
        (-0.5, -0.015),
        (-0.3, -0.06),
        (0.34, -0.06),
        (0.44, -0.045),
    )
    draw_part(body, colour, shadow)
    fin = vary(rng, pick(rng, ((36, 84, 160), (186, 44, 44), (40, 120, 84), (230, 150, 40))))
    draw_part(((-0.34, 0.0), (-0.5, 0.022), (-0.5, -0.022)), fin, 0.0)


def draw_cars(
    rng: np.random.Generator, canvas: Canvas, centre: Point, size: tuple[float, float], angle: float
) -> None:
    """A car park: rows of parked cars on asphalt."""
    length, width = size
    canvas.box(centre, length, width, vary(rng, (118, 118, 120), 8), angle=angle)
    rows, columns = max(2, round(width / 0.03)), max(3, round(length / 0.02))
    paints: tuple[Colour, ...] = ((230, 230, 230), (60, 62, 68), (160, 40, 40), (170, 176, 182))
    for row in range(rows):
        for column in range(columns):
            if rng.random() < 0.35:
                continue
            spot = place(
                centre,
                angle,
                ((column + 0.5) / columns - 0.5) * length * 0.94,
                ((row + 0.5) / rows - 0.5) * width * 0.9,
            )
            canvas.box(spot, 0.009, 0.018, pick(rng, paints), angle=angle)


def scatter(rng: np.random.Generator, number: int, reach: float = 0.75) -> list[Point]:
    """`number` random points within `reach` of the middle in both axes."""
    return [(float(x), float(y)) for x, y in rng.uniform(-reach, reach, size=(number, 2))]


def wave_line(rng: np.random.Generator, strength: float, *, waves: int = 3) -> list[Point]:
    """A smooth wandering line from x = -1 to x = 1, as 97 points around y = 0.

    A sum of sines whose strength falls with their frequency, the largest about `strength`.
    """
    phases = rng.uniform(0.0, 2.0 * math.pi, size=waves)
    weights = rng.uniform(0.5, 1.0, size=waves)
    rates = [float(rng.uniform(1.8, 2.8)) * (order + 1) for order in range(waves)]
    line = []
    for step in range(97):
        x = step / 48 - 1.0
        y = sum(
            strength
            * float(weights[order])
            / (order + 1)
            * math.sin(rates[order] * x + phases[order])
            for order in range(waves)
        )
        line.append((x, y))
    return line
