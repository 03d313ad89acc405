"""Green scenes: farmland and forest."""

from __future__ import annotations

import math

import numpy as np

from rsq_server.demo.canvas import Canvas, Point, darken, place, vary
from rsq_server.demo.drawing import Drawing, pick, set_stage
from rsq_server.demo.objects import draw_house, draw_tree, scatter, wave_line
from rsq_server.demo.terrain import Colour, apply_ramp, make_fractal

CROPS: tuple[Colour, ...] = (
    (112, 148, 66),
    (82, 120, 56),
    (150, 168, 84),
    (188, 172, 108),
    (206, 190, 124),
    (142, 112, 76),
    (122, 94, 66),
    (96, 140, 78),
    (212, 200, 92),
)
Rectangle = tuple[float, float, float, float]


def draw_farmland(rng: np.random.Generator, pixels: int) -> Drawing:
    """Fields with rows: a patchwork, long strips, or circles under pivot irrigation."""
    style = pick(rng, ("patchwork", "strips", "pivots"))
    stage = set_stage(rng, pixels)
    noise = make_fractal(rng, pixels, cells=6)
    canvas = stage.open_canvas(apply_ramp(noise, ((0.0, (112, 116, 74)), (1.0, (170, 156, 110)))))
    crops = [pick(rng, CROPS) for _ in range(int(rng.integers(4, 7)))]
    if style == "pivots":
        _draw_pivots(rng, canvas, crops)
    else:
        strips = style == "strips"
        fields: list[Rectangle] = []
        _split_field(rng, (-0.8, -0.8, 0.8, 0.8), fields, strips=strips, depth=5 if strips else 6)
        for field in fields:
            _draw_field(rng, canvas, field, pick(rng, crops))
    farms = int(rng.integers(0, 4))
    for spot in scatter(rng, farms, 0.4):
        _draw_farm(rng, canvas, spot)
    track = float(rng.uniform(-0.3, 0.3))
    canvas.path([(-0.9, track), (0.9, track)], 0.012, (196, 184, 158))
    return Drawing(canvas.image, _describe_farmland(rng, style, crops, farms))


def _split_field(
    rng: np.random.Generator,
    field: Rectangle,
    into: list[Rectangle],
    *,
    strips: bool,
    depth: int,
) -> None:
    """Halves a rectangle again and again, across its long side or always in one direction."""
    left, top, right, bottom = field
    wide, tall = right - left, bottom - top
    if depth == 0 or (depth < 3 and rng.random() < 0.3):
        into.append(field)
        return
    share = float(rng.uniform(0.36, 0.64))
    if (strips and (wide > 0.5 or rng.random() < 0.12)) or (not strips and wide > tall):
        cut = left + wide * share
        halves: tuple[Rectangle, Rectangle] = ((left, top, cut, bottom), (cut, top, right, bottom))
    else:
        cut = top + tall * share
        halves = ((left, top, right, cut), (left, cut, right, bottom))
    for half in halves:
        _split_field(rng, half, into, strips=strips, depth=depth - 1)


def _draw_field(rng: np.random.Generator, canvas: Canvas, field: Rectangle, crop: Colour) -> None:
    left, top, right, bottom = field
    centre = ((left + right) / 2, (top + bottom) / 2)
    colour = vary(rng, crop, 12)
    size = (right - left - 0.008, bottom - top - 0.008)
    canvas.box(centre, *size, colour)
    lengthwise = size[0] > size[1]
    across = size[1] if lengthwise else size[0]
    rows = int(across / float(rng.uniform(0.014, 0.03)))
    shade = (*darken(colour, float(rng.uniform(0.78, 0.94))), 200)
    for row in range(rows):
        offset = ((row + 0.5) / rows - 0.5) * across
        if lengthwise:
            canvas.box((centre[0], centre[1] + offset), size[0], across / rows * 0.4, shade)
        else:
            canvas.box((centre[0] + offset, centre[1]), across / rows * 0.4, size[1], shade)
    if rng.random() < 0.3:
        for step in range(int(size[0] / 0.03)):
            spot = (left + step * 0.03, top + float(rng.uniform(-0.004, 0.004)))
            draw_tree(rng, canvas, spot, float(rng.uniform(0.008, 0.014)))


def _draw_pivots(rng: np.random.Generator, canvas: Canvas, crops: list[Colour]) -> None:
    """Circles in a square grid, a wedge of some at another stage of growth."""
    step = float(rng.uniform(0.28, 0.42))
    half = math.ceil(0.8 / step)
    for column in range(-half, half + 1):
        for row in range(-half, half + 1):
            centre = (column * step, row * step)
            corner = vary(rng, pick(rng, crops), 8)
            canvas.box(centre, step * 0.97, step * 0.97, darken(corner, 0.96))
            if rng.random() < 0.12:
                continue
            colour = vary(rng, pick(rng, crops), 12)
            radius = step * 0.47
            canvas.disc(centre, radius, colour)
            for ring in (0.8, 0.6, 0.4, 0.2):
                canvas.disc(
                    centre, radius * ring, darken(colour, 0.93 if ring in (0.8, 0.4) else 1.0)
                )
            if rng.random() < 0.5:
                start, span = float(rng.uniform(0, 6.28)), float(rng.uniform(0.6, 2.4))
                wedge = [centre] + [
                    place(centre, start + span * turn / 10, radius, 0.0) for turn in range(11)
                ]
                canvas.polygon(wedge, vary(rng, pick(rng, crops), 12))


def _draw_farm(rng: np.random.Generator, canvas: Canvas, centre: Point) -> None:
    for x, y in rng.uniform(-0.035, 0.035, size=(3, 2)):
        spot = (centre[0] + float(x), centre[1] + float(y))
        draw_house(rng, canvas, spot, (0.045, 0.026), float(rng.integers(2)) * math.pi / 2)
    for x, y in rng.uniform(-0.06, 0.06, size=(5, 2)):
        draw_tree(rng, canvas, (centre[0] + float(x), centre[1] + float(y)), 0.012)


def _describe_farmland(
    rng: np.random.Generator, style: str, crops: list[Colour], farms: int
) -> tuple[str, ...]:
    green = sum(crop[1] > crop[0] for crop in crops) * 2 > len(crops)
    tone = "green" if green else "brown and yellow"
    exact = {
        "patchwork": f"a patchwork of {tone} rectangular fields",
        "strips": f"long narrow strips of {tone} farmland side by side",
        "pivots": f"circular {tone} fields under centre pivot irrigation",
    }[style]
    yard = "with a farmhouse between the fields" if farms else "with crops in straight rows"
    return (
        f"{exact} {yard}",
        exact,
        f"farmland {yard}",
        pick(rng, ("agricultural fields with crops", "cultivated land divided into fields")),
        pick(rng, ("farmland", "farm fields", "cropland and a dirt road")),
    )


FORESTS: dict[str, tuple[Colour, ...]] = {
    "conifer": ((34, 64, 44), (40, 72, 48), (30, 58, 42)),
    "broadleaf": ((62, 96, 48), (76, 110, 54), (54, 86, 44), (88, 116, 60)),
    "autumn": ((150, 96, 44), (172, 124, 52), (98, 104, 50), (128, 66, 40), (82, 96, 48)),
}


def draw_forest(rng: np.random.Generator, pixels: int) -> Drawing:
    """A closed canopy of crowns, some with a clearing, a track or a small lake."""
    style = pick(rng, tuple(FORESTS))
    stage = set_stage(rng, pixels, zoom=(1.0, 1.4))
    palette = FORESTS[style]
    floor = darken(palette[0], 0.55)
    noise = make_fractal(rng, pixels, cells=4)
    canvas = stage.open_canvas(apply_ramp(noise, ((0.0, darken(floor, 0.8)), (1.0, floor))))
    feature = pick(rng, ("closed", "closed", "track", "clearing", "lake"))
    heart = scatter(rng, 1, 0.3)[0]
    reach = float(rng.uniform(0.12, 0.22))
    line = wave_line(rng, 0.16, waves=2)
    if feature == "track":
        canvas.path(line, 0.022, (172, 154, 122))
    elif feature == "clearing":
        canvas.disc(heart, reach * 1.1, vary(rng, (140, 152, 88)))
    elif feature == "lake":
        canvas.disc(heart, reach * 1.1, vary(rng, (40, 70, 88), 8))
    step = float(rng.uniform(0.046, 0.066)) * (0.85 if style == "conifer" else 1.0)
    half = math.ceil(0.75 / stage.view.zoom / step)
    jitter = rng.uniform(-0.45, 0.45, size=(2 * half + 1, 2 * half + 1, 2))
    sizes = rng.uniform(0.5, 0.82, size=(2 * half + 1, 2 * half + 1))
    for row in range(2 * half + 1):
        for column in range(2 * half + 1):
            x = (column - half + 0.5 * (row % 2) + float(jitter[row, column, 0])) * step
            y = (row - half + float(jitter[row, column, 1])) * step
            if _is_open(feature, (x, y), heart, reach, line):
                continue
            colour = vary(rng, palette[int(rng.integers(len(palette)))], 10)
            radius = step * float(sizes[row, column])
            canvas.disc((x, y), radius, darken(colour, 0.8))
            canvas.disc(
                canvas.towards_sun((x, y), radius * 0.32), radius * 0.6, darken(colour, 1.12)
            )
    return Drawing(canvas.image, _describe_forest(rng, style, feature))


def _is_open(feature: str, spot: Point, heart: Point, reach: float, line: list[Point]) -> bool:
    """Whether no tree grows here."""
    if feature in ("clearing", "lake"):
        x, y = spot[0] - heart[0], spot[1] - heart[1]
        # A lobed circle: the edge of a wood is never round.
        lobes = 1.0 + 0.2 * math.sin(3.0 * math.atan2(y, x) + heart[0] * 20.0)
        return x * x + y * y < (reach * lobes) ** 2
    if feature == "track":
        step = min(96, max(0, round((spot[0] + 1.0) * 48)))
        return abs(spot[1] - line[step][1]) < 0.026
    return False


def _describe_forest(rng: np.random.Generator, style: str, feature: str) -> tuple[str, ...]:
    kind = {
        "conifer": "dark green conifer forest",
        "broadleaf": "green broadleaf forest",
        "autumn": "autumn forest in orange and brown",
    }[style]
    extra = {
        "closed": "with a closed canopy",
        "track": "with a dirt track through the trees",
        "clearing": "with a grassy clearing",
        "lake": "around a small dark lake",
    }[feature]
    return (
        f"a {kind} {extra}".replace("a autumn", "an autumn"),
        f"dense trees {extra}",
        f"a {kind}".replace("a autumn", "an autumn"),
        pick(rng, ("many trees standing close together", "thick woodland seen from above")),
        pick(rng, ("forest", "dense forest", "woods")),
    )
