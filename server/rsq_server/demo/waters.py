"""Natural water: coast and river."""

from __future__ import annotations

import math

import numpy as np

from rsq_server.demo.canvas import Canvas, Point, darken, place, vary
from rsq_server.demo.drawing import Drawing, Stage, count_of, pick, set_stage
from rsq_server.demo.objects import draw_boat, draw_house, draw_tree, scatter, wave_line
from rsq_server.demo.terrain import (
    Colour,
    Field,
    Ground,
    apply_ramp,
    blend,
    make_fractal,
    make_mask,
)

SEAS: tuple[tuple[Colour, Colour, Colour], ...] = (
    ((120, 196, 190), (46, 130, 156), (20, 70, 112)),
    ((104, 160, 152), (48, 104, 124), (24, 58, 84)),
    ((142, 206, 198), (62, 158, 182), (28, 94, 146)),
)
LANDS: tuple[tuple[Colour, Colour], ...] = (
    ((74, 104, 58), (124, 140, 82)),
    ((132, 122, 84), (172, 158, 112)),
    ((62, 92, 52), (96, 120, 64)),
)


def draw_coast(rng: np.random.Generator, pixels: int) -> Drawing:
    """Open sea against land: a beach, cliffs, an island or a seaside village, with surf."""
    style = pick(rng, ("beach", "cliffs", "island", "village"))
    stage = set_stage(rng, pixels)
    across, down = stage.view.make_grid()
    rough = make_fractal(rng, pixels, cells=3, octaves=5, gain=0.55)
    relief = (rough - np.float32(0.5)) * np.float32(0.3 if style == "cliffs" else 0.16)
    if style == "island":
        x, y = scatter(rng, 1, 0.1)[0]
        radius = float(rng.uniform(0.2, 0.3))
        offset_x, offset_y = across - np.float32(x), (down - np.float32(y)) * np.float32(1.3)
        inland = np.float32(radius) - np.sqrt(offset_x * offset_x + offset_y * offset_y) + relief
    else:
        line = wave_line(rng, 0.09)
        inland = np.float32(rng.uniform(-0.15, 0.15)) - down + _lift(line, across) + relief
    ground = _colour_land(rng, pixels, pick(rng, LANDS))
    if style == "cliffs":
        rock = make_mask(np.float32(0.09) - inland, 0.0, 0.05)
        ground = blend(ground, vary(rng, (122, 110, 98)), rock * make_mask(rough, 0.2, 0.5))
    else:
        width = float(rng.uniform(0.05, 0.1))
        ground = blend(
            ground, vary(rng, (226, 208, 168), 10), make_mask(np.float32(width) - inland, 0, 0.02)
        )
    ground = _flood(rng, stage, ground, inland, rough)
    canvas = stage.open_canvas(ground)
    # What is tested against pixels draws from generators of its own: a choice that falls
    # differently at another size changes nothing after it.
    village, fleet = rng.spawn(2)
    houses = _draw_village(village, canvas, inland, stage) if style == "village" else 0
    boats = int(rng.integers(0, 3))
    for spot in scatter(fleet, 24, 0.45):
        if boats and _sample(inland, stage, spot) < -0.16:
            draw_boat(canvas, spot, 0.022, float(fleet.uniform(0, 6.28)))
            boats -= 1
    return Drawing(canvas.image, _describe_coast(rng, style, houses))


def _lift(line: list[Point], across: Field) -> Field:
    """The wandering line's y at every pixel's x."""
    xs, ys = zip(*line, strict=True)
    lifted: Field = np.interp(across, xs, ys).astype(np.float32)
    return lifted


def _sample(field: Field, stage: Stage, spot: Point) -> float:
    """The field at a point in scene units, clamped to the image."""
    ((x, y),) = stage.view.locate([spot])
    last = field.shape[0] - 1
    return float(field[min(last, max(0, int(y))), min(last, max(0, int(x)))])


def _colour_land(rng: np.random.Generator, pixels: int, colours: tuple[Colour, Colour]) -> Ground:
    """Land with patches of scrub on it."""
    land = apply_ramp(
        make_fractal(rng, pixels, cells=9, octaves=3), ((0.0, colours[0]), (1.0, colours[1]))
    )
    scrub = make_fractal(rng, pixels, cells=22, octaves=2) * np.float32(0.6)
    scrub = scrub + make_fractal(rng, pixels, cells=4, octaves=2) * np.float32(0.4)
    return blend(land, darken(colours[0], 0.78), make_mask(scrub, 0.6, 0.16))


def _flood(
    rng: np.random.Generator, stage: Stage, ground: Ground, inland: Field, rough: Field
) -> Ground:
    """Sea where `inland` is negative: shallows, depths, lines of surf along the shore."""
    shallow, middle, deep = pick(rng, SEAS)
    depth = -inland / np.float32(0.5) + (rough - np.float32(0.5)) * np.float32(0.1)
    sea = apply_ramp(depth, ((0.0, shallow), (0.3, middle), (1.0, deep)))
    waves = make_fractal(rng, stage.view.pixels, cells=28, octaves=2)
    sea = sea + (waves - np.float32(0.5))[..., None] * np.float32(14.0)
    ground = blend(ground, sea, make_mask(-inland, 0.0, 0.01))
    for distance, strength in ((0.006, 0.95), (0.035, 0.6), (0.07, 0.35)):
        band = np.abs(inland + np.float32(distance) + (waves - np.float32(0.5)) * np.float32(0.02))
        surf = make_mask(np.float32(0.008) - band, 0.0, 0.008) * make_mask(waves, 0.42, 0.3)
        ground = blend(ground, (246, 248, 246), surf * np.float32(strength))
    return ground


def _draw_village(rng: np.random.Generator, canvas: Canvas, inland: Field, stage: Stage) -> int:
    """Houses on dry ground behind the beach; returns how many."""
    houses = 0
    for spot in scatter(rng, 90, 0.6):
        if 0.12 < _sample(inland, stage, spot) < 0.3:
            draw_house(rng, canvas, spot, (0.04, 0.026), float(rng.integers(2)) * math.pi / 2)
            houses += 1
    return houses


def _describe_coast(rng: np.random.Generator, style: str, houses: int) -> tuple[str, ...]:
    exact = {
        "beach": "a sandy beach along a coast with white waves",
        "cliffs": "a rocky coast with cliffs and surf",
        "island": "a small island with a beach surrounded by blue sea",
        "village": "a seaside village behind a sandy beach"
        if houses
        else "a beach with green land behind it",
    }[style]
    return (
        exact,
        pick(rng, ("waves breaking on the shore", "blue sea meeting the land")),
        "sea on all sides of an island"
        if style == "island"
        else "a coastline with turquoise water",
        pick(rng, ("the shoreline of the ocean", "a seashore with surf", "a beach by the ocean")),
        pick(rng, ("coast", "sea coast", "coast and beach")),
    )


STREAMS: tuple[tuple[str, Colour], ...] = (
    ("blue", (52, 98, 130)),
    ("green", (72, 106, 92)),
    ("muddy brown", (112, 106, 84)),
    ("dark", (38, 58, 66)),
)


def draw_river(rng: np.random.Generator, pixels: int) -> Drawing:
    """A winding river through meadows, woods or dry land; islands, a tributary or a bridge."""
    feature = pick(rng, ("plain", "bridge", "tributary", "islands"))
    colour_name, water = pick(rng, STREAMS)
    bank = pick(rng, ("meadows", "trees", "dry land"))
    stage = set_stage(rng, pixels)
    across, down = stage.view.make_grid()
    rough = make_fractal(rng, pixels, cells=6, octaves=4)
    line = wave_line(rng, float(rng.uniform(0.1, 0.2)), waves=2)
    width = float(rng.uniform(0.055, 0.1))
    wide = np.float32(width) + (rough - np.float32(0.5)) * np.float32(0.035)
    distance = np.abs(down - _lift(line, across))
    inside = wide - distance
    if feature == "tributary":
        branch = [(x + 0.05, y * 0.6) for x, y in wave_line(rng, 0.12, waves=2)]
        joined = np.abs(across - _lift(branch, down))
        # One side only: a tributary ends where it meets the river.
        side = make_mask(down - _lift(line, across), 0.0, 0.01) * np.float32(2.0) - np.float32(1.0)
        inside = np.maximum(inside, np.minimum(wide * np.float32(0.55) - joined, side))
    if feature == "islands":
        # Shoals rise in midstream only: along both banks the water stays open.
        shoals = make_fractal(rng, pixels, cells=7, octaves=3) - np.float32(0.56)
        inside = inside + np.float32(0.05)
        depth = np.maximum(-shoals * np.float32(0.5), distance - wide)
        inside = np.minimum(inside, depth)
    lands: dict[str, tuple[Colour, Colour]] = {
        "meadows": ((98, 124, 64), (138, 154, 88)),
        "trees": ((52, 78, 46), (84, 108, 60)),
        "dry land": ((152, 134, 98), (186, 168, 128)),
    }
    ground = _colour_land(rng, pixels, lands[bank])
    ground = blend(ground, vary(rng, (202, 188, 150)), make_mask(inside, -0.014, 0.02))
    ripple = make_fractal(rng, pixels, cells=20, octaves=2)
    tone = vary(rng, water, 10)
    stream = apply_ramp(ripple, ((0.0, tone), (1.0, (tone[0] + 14, tone[1] + 16, tone[2] + 16))))
    ground = blend(ground, stream, make_mask(inside, 0.004, 0.01))
    canvas = stage.open_canvas(ground)
    if bank != "dry land":
        # A generator of its own: what is tested against pixels may fall differently by size.
        (grove,) = rng.spawn(1)
        for spot in scatter(grove, 150 if bank == "trees" else 60):
            if _sample(inside, stage, spot) < -0.03:
                draw_tree(grove, canvas, spot, float(grove.uniform(0.012, 0.024)))
    if feature == "bridge":
        _draw_bridge(rng, canvas, line)
    return Drawing(canvas.image, _describe_river(rng, feature, colour_name, bank))


def _draw_bridge(rng: np.random.Generator, canvas: Canvas, line: list[Point]) -> None:
    """A road that crosses the river at right angles to it."""
    step = int(rng.integers(40, 57))
    (x0, y0), (x1, y1) = line[step - 1], line[step + 1]
    angle = math.atan2(y1 - y0, x1 - x0) + math.pi / 2
    middle = line[step]
    ends = [place(middle, angle, reach, 0.0) for reach in (-0.9, 0.9)]
    canvas.path(ends, 0.024, (150, 146, 138))
    canvas.box(middle, 0.26, 0.034, (206, 204, 198), angle=angle, height=0.016)
    canvas.box(middle, 0.26, 0.02, (112, 112, 114), angle=angle)


def _describe_river(
    rng: np.random.Generator, feature: str, colour: str, bank: str
) -> tuple[str, ...]:
    exact = {
        "plain": f"a winding {colour} river through {bank}",
        "bridge": f"a bridge over a {colour} river between {bank}",
        "tributary": f"two {colour} rivers flowing together in {bank}",
        "islands": f"a wide {colour} river with islands between {bank}",
    }[feature]
    return (
        exact,
        {
            "plain": "a meandering river with curved bends",
            "bridge": f"a river with {count_of(1, 'bridge')} across it",
            "tributary": "the confluence of a river and a stream",
            "islands": "a braided river with sandbanks",
        }[feature],
        f"a {colour} river",
        pick(rng, ("a river flowing across the land", "a stream with sandy banks")),
        pick(rng, ("river", "a winding river", "a river bend")),
    )
