"""Scenes made of relief: snow mountain and desert."""

from __future__ import annotations

import numpy as np

from rsq_server.demo.drawing import Drawing, pick, set_stage
from rsq_server.demo.objects import scatter, wave_line
from rsq_server.demo.terrain import (
    Colour,
    Field,
    apply_ramp,
    blend,
    make_fractal,
    make_mask,
    make_ridges,
    shade_relief,
)


def draw_snow_mountain(rng: np.random.Generator, pixels: int) -> Drawing:
    """Sharp ridges under snow, bare rock where it is steep, sometimes forest in the valleys."""
    style = pick(rng, ("peaks", "rocky", "glacier", "treeline"))
    stage = set_stage(rng, pixels)
    ridges = make_ridges(rng, pixels, cells=int(rng.integers(2, 4)), gain=0.48)
    broad = make_fractal(rng, pixels, cells=2, octaves=2)
    height = np.asarray(ridges * np.float32(0.7) + broad * np.float32(0.3), dtype=np.float32)
    light = shade_relief(height, stage.sun, steepness=float(rng.uniform(0.32, 0.5)))
    patches = make_fractal(rng, pixels, cells=7, octaves=4)
    rock: Colour = pick(rng, ((98, 88, 80), (84, 82, 84), (112, 98, 84)))
    ground = apply_ramp(patches, ((0.0, rock), (1.0, (rock[0] + 26, rock[1] + 24, rock[2] + 22))))
    line = {"peaks": 0.22, "rocky": 0.44, "glacier": 0.2, "treeline": 0.36}[style]
    if style == "treeline":
        woods = make_mask(height + (patches - np.float32(0.5)) * np.float32(0.2), 0.36, 0.04)
        ground = blend(ground, (44, 62, 48), np.float32(1.0) - woods)
    snow = make_mask(height + (patches - np.float32(0.5)) * np.float32(0.3), line + 0.04, 0.06)
    ground = blend(ground, (244, 247, 252), snow)
    if style == "glacier":
        ground = blend(ground, (196, 218, 234), make_mask(np.float32(1.0) - height, 0.66, 0.1))
    # Snow in the shade is lit by the sky alone, so it turns blue rather than grey.
    shade = np.clip(light, 0.36, 1.12)[..., None]
    tint = np.array([1.0, 0.985, 0.94], dtype=np.float32) * shade
    sky = np.array([10.0, 24.0, 58.0], dtype=np.float32) * np.clip(1.0 - shade, 0.0, 1.0)
    canvas = stage.open_canvas(ground * tint + sky)
    return Drawing(canvas.image, _describe_snow(rng, style))


def _describe_snow(rng: np.random.Generator, style: str) -> tuple[str, ...]:
    exact = {
        "peaks": "white snow mountain ridges with deep blue shadows",
        "rocky": "a rocky mountain range partly covered with snow",
        "glacier": "snow covered peaks around a pale blue glacier",
        "treeline": "snowy mountain tops above dark forest valleys",
    }[style]
    return (
        exact,
        pick(rng, ("a snow mountain with sharp ridges", "snow capped mountain peaks")),
        pick(rng, ("mountains covered in snow", "a snowy mountain range")),
        pick(rng, ("an alpine landscape with snow and rock", "high mountains in winter")),
        pick(rng, ("snow mountain", "snow mountains", "snowy peaks")),
    )


SANDS: tuple[tuple[Colour, Colour], ...] = (
    ((206, 166, 110), (228, 194, 140)),
    ((196, 138, 82), (216, 164, 106)),
    ((214, 190, 148), (234, 214, 178)),
    ((184, 122, 80), (206, 148, 104)),
)


def draw_desert(rng: np.random.Generator, pixels: int) -> Drawing:
    """Sand in long or broken dunes, stony ground with dry channels, or a plain with shrubs."""
    style = pick(rng, ("dunes", "dunes", "rocky", "plain"))
    stage = set_stage(rng, pixels)
    low, high = pick(rng, SANDS)
    fine = make_fractal(rng, pixels, cells=12, octaves=3)
    ground = apply_ramp(fine, ((0.0, low), (1.0, high)))
    track = False
    if style == "dunes":
        across, _ = stage.view.make_grid()
        warp = make_fractal(rng, pixels, cells=3, octaves=3)
        height = _shape_dunes(rng, across, warp)
        light = shade_relief(height, stage.sun, steepness=float(rng.uniform(0.02, 0.034)))
    elif style == "rocky":
        ridges = make_ridges(rng, pixels, cells=3, octaves=5)
        light = shade_relief(ridges, stage.sun, steepness=float(rng.uniform(0.1, 0.18)))
        rock = make_mask(ridges, 0.5, 0.14)
        ground = blend(ground, pick(rng, ((136, 92, 68), (120, 98, 80), (152, 102, 70))), rock)
    else:
        swell = make_fractal(rng, pixels, cells=3, octaves=4)
        light = shade_relief(swell, stage.sun, steepness=0.08)
        track = bool(rng.random() < 0.6)
    canvas = stage.open_canvas(ground * np.clip(light, 0.45, 1.25)[..., None])
    if track:
        canvas.path(wave_line(rng, 0.1, waves=2), 0.01, (236, 222, 190))
    if style == "plain":
        for spot in scatter(rng, 120):
            canvas.disc(spot, float(rng.uniform(0.003, 0.008)), (110, 104, 70), height=0.004)
    return Drawing(canvas.image, _describe_desert(rng, style, track))


def _shape_dunes(rng: np.random.Generator, across: Field, warp: Field) -> Field:
    """Asymmetric waves: a gentle windward rise, a steep lee. 0..1 high."""
    rate = float(rng.uniform(5.0, 9.0))
    phase = across * np.float32(rate) + warp * np.float32(float(rng.uniform(1.2, 3.2)))
    share = phase - np.floor(phase)
    rise, fall = share / np.float32(0.72), (np.float32(1.0) - share) / np.float32(0.28)
    return np.asarray(np.minimum(rise, fall), dtype=np.float32)


def _describe_desert(rng: np.random.Generator, style: str, track: bool) -> tuple[str, ...]:
    exact = {
        "dunes": "a sandy desert with long curved dunes",
        "rocky": "a rocky desert with dry channels and brown hills",
        "plain": "a flat desert plain with scattered shrubs",
    }[style]
    return (
        f"{exact} and a lone track" if track else exact,
        {
            "dunes": "sand dunes casting shadows",
            "rocky": "barren stony land without plants",
            "plain": "dry bare ground with few bushes",
        }[style],
        pick(rng, ("an arid desert", "a desert landscape", "yellow desert sand")),
        pick(rng, ("a dry barren land", "bare sand as far as one can see")),
        pick(rng, ("desert", "sandy desert", "a desert with no water")),
    )
