"""Built-up scenes: urban and industrial."""

from __future__ import annotations

import numpy as np

from rsq_server.demo.canvas import Canvas, Point, darken, place, vary
from rsq_server.demo.drawing import Drawing, count_of, pick, set_stage
from rsq_server.demo.objects import draw_cars, draw_house, draw_tank, draw_tree, scatter
from rsq_server.demo.terrain import Colour, apply_ramp, make_fractal

OFFICES: tuple[Colour, ...] = (
    (196, 196, 192),
    (168, 172, 178),
    (212, 204, 190),
    (140, 144, 150),
    (184, 168, 150),
    (120, 134, 148),
)
HALLS: tuple[Colour, ...] = (
    (206, 210, 212),
    (100, 136, 176),
    (178, 182, 184),
    (226, 226, 220),
    (170, 92, 74),
    (122, 160, 164),
)


def draw_urban(rng: np.random.Generator, pixels: int) -> Drawing:
    """A street grid whose blocks hold houses, apartment blocks or office towers, and parks."""
    style = pick(rng, ("residential", "downtown", "suburb"))
    stage = set_stage(rng, pixels)
    noise = make_fractal(rng, pixels, cells=10)
    ground = apply_ramp(noise, ((0.0, (104, 104, 106)), (1.0, (134, 132, 130))))
    canvas = stage.open_canvas(ground)
    columns = _split_street(rng, 0.17 if style == "downtown" else 0.21)
    rows = _split_street(rng, 0.22)
    parks = 0
    for left, right in columns:
        for top, bottom in rows:
            centre = ((left + right) / 2, (top + bottom) / 2)
            size = (right - left, bottom - top)
            if rng.random() < 0.09:
                _draw_park(rng, canvas, centre, size)
                parks += 1
            else:
                _draw_block(rng, canvas, centre, size, style)
    _draw_avenue(rng, canvas)
    return Drawing(canvas.image, _describe_urban(rng, style, parks))


def _split_street(rng: np.random.Generator, step: float) -> list[tuple[float, float]]:
    """Block edges along one axis, streets left between them."""
    blocks, position = [], -0.78
    while position < 0.78:
        length = float(rng.uniform(0.8, 1.25)) * step
        blocks.append((position, position + length))
        position += length + 0.03
    return blocks


def _draw_block(
    rng: np.random.Generator, canvas: Canvas, centre: Point, size: tuple[float, float], style: str
) -> None:
    floor: Colour = (110, 124, 84) if style == "suburb" else (160, 154, 144)
    canvas.box(centre, *size, vary(rng, floor, 8))
    if style == "downtown":
        across, down = pick(rng, ((1, 1), (2, 1), (1, 2), (2, 2), (2, 3)))
    else:
        across, down = pick(rng, ((3, 2), (3, 3), (4, 2)))
    for column in range(across):
        for row in range(down):
            lot = (size[0] / across, size[1] / down)
            spot = (
                centre[0] + (column + 0.5) * lot[0] - size[0] / 2,
                centre[1] + (row + 0.5) * lot[1] - size[1] / 2,
            )
            if rng.random() < 0.07:
                continue
            share = rng.uniform(0.66, 0.9, size=2)
            length, width = lot[0] * float(share[0]), lot[1] * float(share[1])
            if style == "downtown":
                _draw_office(rng, canvas, spot, (length, width))
            elif style == "residential":
                draw_house(rng, canvas, spot, (length, width), 0.0)
            else:
                draw_house(rng, canvas, spot, (length * 0.75, width * 0.62), 0.0)
                corner = (spot[0] + lot[0] * 0.42, spot[1] + lot[1] * 0.4)
                draw_tree(rng, canvas, corner, float(rng.uniform(0.009, 0.016)))


def _draw_office(
    rng: np.random.Generator, canvas: Canvas, centre: Point, size: tuple[float, float]
) -> None:
    """A flat-roofed tower with a parapet and machinery on the roof."""
    colour = vary(rng, pick(rng, OFFICES))
    canvas.box(centre, *size, darken(colour, 0.82), height=float(rng.uniform(0.02, 0.07)))
    canvas.box(centre, size[0] * 0.88, size[1] * 0.88, colour)
    for x, y in rng.uniform(-0.28, 0.28, size=(2, 2)):
        spot = (centre[0] + float(x) * size[0], centre[1] + float(y) * size[1])
        canvas.box(spot, size[0] * 0.16, size[1] * 0.14, darken(colour, 0.68), height=0.005)


def _draw_park(
    rng: np.random.Generator, canvas: Canvas, centre: Point, size: tuple[float, float]
) -> None:
    canvas.box(centre, *size, vary(rng, (92, 122, 66), 10))
    for x, y in rng.uniform(-0.44, 0.44, size=(9, 2)):
        spot = (centre[0] + float(x) * size[0], centre[1] + float(y) * size[1])
        draw_tree(rng, canvas, spot, float(rng.uniform(0.012, 0.02)))


def _draw_avenue(rng: np.random.Generator, canvas: Canvas) -> None:
    """A wide road across the grid with a dashed middle line."""
    offset = float(rng.uniform(-0.3, 0.3))
    canvas.path([(-0.9, offset), (0.9, offset)], 0.042, (96, 96, 100))
    for step in range(36):
        x = -0.9 + step * 0.05
        canvas.path([(x, offset), (x + 0.025, offset)], 0.004, (224, 222, 212))


def _describe_urban(rng: np.random.Generator, style: str, parks: int) -> tuple[str, ...]:
    exact = {
        "residential": "a dense urban residential area with rows of houses and red roofs",
        "downtown": "a city centre with tall office buildings and straight streets",
        "suburb": "an urban neighbourhood of houses with gardens and trees along the streets",
    }[style]
    green = "many buildings around small green parks" if parks > 2 else "many buildings and streets"
    return (
        exact,
        f"an urban area with {green}",
        pick(rng, ("city blocks with a grid of streets", "a town with streets and buildings")),
        {
            "residential": "closely packed houses with brown and red roofs",
            "downtown": "high buildings casting long shadows downtown",
            "suburb": "suburban houses with lawns",
        }[style],
        pick(rng, ("urban", "a built-up city", "urban buildings and roads")),
    )


def draw_industrial(rng: np.random.Generator, pixels: int) -> Drawing:
    """Factory halls, tank farms, chimneys and yards along a works road."""
    style = pick(rng, ("factory", "warehouses", "refinery"))
    stage = set_stage(rng, pixels, zoom=(0.9, 1.3))
    noise = make_fractal(rng, pixels, cells=8)
    warm = bool(rng.random() < 0.5)
    low, high = ((128, 120, 106), (164, 154, 138)) if warm else ((122, 124, 124), (158, 158, 156))
    canvas = stage.open_canvas(apply_ramp(noise, ((0.0, low), (1.0, high))))
    tanks = chimneys = 0
    plumes: list[tuple[Point, float]] = []
    for column in range(4):
        for row in range(4):
            spot = (-0.66 + column * 0.44, -0.66 + row * 0.44)
            kind = pick(rng, _LOTS[style])
            if kind == "tanks":
                tanks += _draw_tank_farm(rng, canvas, spot)
            elif kind == "cars":
                draw_cars(rng, canvas, spot, (0.34, 0.2), 0.0)
                _draw_hall(rng, canvas, (spot[0], spot[1] + 0.16), (0.34, 0.09))
            else:
                _draw_hall(rng, canvas, spot, (0.37, float(rng.uniform(0.22, 0.36))))
                if kind == "chimney":
                    foot = place(spot, 0.0, 0.16, 0.17)
                    chimneys += canvas.contains(foot)
                    plumes.append((foot, float(rng.uniform(0.6, 1.0))))
    for offset in (-0.44, 0.0, 0.44):
        canvas.path([(-0.9, offset), (0.9, offset)], 0.034, (92, 92, 94))
        canvas.path([(offset, -0.9), (offset, 0.9)], 0.034, (92, 92, 94))
    if style != "warehouses":
        _draw_railway(canvas, 0.44 + 0.028)
    for spot, strength in plumes:
        _draw_chimney(rng, canvas, spot, strength)
    for spot in scatter(rng, 14):
        canvas.box(spot, 0.022, 0.011, pick(rng, HALLS), angle=float(rng.integers(2)) * 1.5708)
    return Drawing(canvas.image, _describe_industrial(rng, style, tanks, chimneys))


_LOTS: dict[str, tuple[str, ...]] = {
    "factory": ("hall", "chimney", "chimney", "cars", "tanks"),
    "warehouses": ("hall", "hall", "hall", "cars"),
    "refinery": ("tanks", "tanks", "tanks", "chimney"),
}


def _draw_hall(
    rng: np.random.Generator, canvas: Canvas, centre: Point, size: tuple[float, float]
) -> None:
    """A large hall: ribbed roof with skylights."""
    colour = vary(rng, pick(rng, HALLS))
    canvas.box(centre, *size, colour, height=0.03)
    ribs = int(rng.integers(4, 9))
    for rib in range(ribs):
        x = centre[0] + ((rib + 0.5) / ribs - 0.5) * size[0]
        canvas.box((x, centre[1]), size[0] / ribs * 0.3, size[1], darken(colour, 0.88))
        canvas.box((x, centre[1]), size[0] / ribs * 0.12, size[1] * 0.7, darken(colour, 1.18))


def _draw_tank_farm(rng: np.random.Generator, canvas: Canvas, centre: Point) -> int:
    """Tanks in a grid; returns how many are in view."""
    side, seen = pick(rng, (2, 2, 3)), 0
    canvas.box(centre, 0.38, 0.38, vary(rng, (168, 158, 138), 8))
    radius = 0.36 / side * 0.34
    for column in range(side):
        for row in range(side):
            spot = (
                centre[0] + ((column + 0.5) / side - 0.5) * 0.36,
                centre[1] + ((row + 0.5) / side - 0.5) * 0.36,
            )
            draw_tank(rng, canvas, spot, radius * float(rng.uniform(0.86, 1.1)))
            seen += canvas.contains(spot)
    return seen


def _draw_chimney(rng: np.random.Generator, canvas: Canvas, foot: Point, strength: float) -> None:
    """A chimney with a plume that widens and fades."""
    canvas.disc(foot, 0.014, (150, 84, 70), height=0.09)
    drift = float(rng.uniform(0.2, 0.7))
    for puff in range(14):
        along = 0.012 + puff * 0.017
        wobble = float(rng.uniform(-0.3, 0.3)) * along
        alpha = int(150 * strength * (1.0 - puff / 15))
        canvas.disc(
            place(foot, drift, along, wobble), 0.012 + puff * 0.0032, (238, 238, 240, alpha)
        )


def _draw_railway(canvas: Canvas, offset: float) -> None:
    canvas.path([(-0.9, offset), (0.9, offset)], 0.03, (112, 100, 90))
    for rail in (-0.005, 0.005):
        canvas.path([(-0.9, offset + rail), (0.9, offset + rail)], 0.003, (196, 192, 188))


def _describe_industrial(
    rng: np.random.Generator, style: str, tanks: int, chimneys: int
) -> tuple[str, ...]:
    exact = {
        "factory": "an industrial area with factory halls and smoking chimneys"
        if chimneys
        else "an industrial area with large factory halls",
        "warehouses": "large warehouses with ribbed roofs in an industrial park",
        "refinery": "an oil refinery with many round white storage tanks",
    }[style]
    detail = (
        f"industrial plant with {count_of(tanks, 'storage tank')}"
        if tanks
        else "industrial buildings with big flat roofs and car parks"
    )
    return (
        exact,
        detail,
        f"a factory with {count_of(chimneys, 'chimney')}" if chimneys else "logistics warehouses",
        pick(rng, ("an industrial zone", "an industrial site with roads and sheds")),
        pick(rng, ("industrial", "factories and storage tanks", "an industrial estate")),
    )
