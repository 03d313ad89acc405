"""Noise fields, colour ramps and relief shading: the ground of every scene.

A field is a float32 array [pixels, pixels], mostly within 0..1; a ground is float32
[pixels, pixels, 3] in 0..255. The random draws never depend on `pixels`, so one seed gives one
scene at every size. Per-pixel arithmetic keeps to + - * / and sqrt, which round alike on every
machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.float32]
Ground = NDArray[np.float32]
Colour = tuple[int, int, int]
_SMOOTH, _FAST = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR
_FINE_CELLS = 16


def make_fractal(
    rng: np.random.Generator, pixels: int, *, cells: int, octaves: int = 4, gain: float = 0.5
) -> Field:
    """Smooth noise in 0..1: a sum of layers, each twice as fine and `gain` as strong.

    `cells` is the number of grid cells across the image in the coarsest layer.
    """
    total = _sum_layers(rng, pixels, cells, octaves, gain, folded=False)
    # Averaged noise crowds around 0.5; stretching it gives the ramps their whole range.
    stretched: Field = (total - np.float32(0.5)) * np.float32(1.6) + np.float32(0.5)
    return stretched.clip(0.0, 1.0)


def make_ridges(
    rng: np.random.Generator, pixels: int, *, cells: int, octaves: int = 5, gain: float = 0.5
) -> Field:
    """Noise folded at its middle, which leaves sharp crests, as eroded mountains have; 0..1."""
    return _sum_layers(rng, pixels, cells, octaves, gain, folded=True).clip(0.0, 1.0)


def _sum_layers(
    rng: np.random.Generator, pixels: int, cells: int, octaves: int, gain: float, *, folded: bool
) -> Field:
    total = np.zeros((pixels, pixels), dtype=np.float32)
    amplitude, reach = 1.0, 0.0
    for octave in range(octaves):
        count = cells * 2**octave
        # Bilinear cells show when they are large or when their slopes are shaded.
        smooth = folded or count < _FINE_CELLS
        layer = _make_layer(rng, pixels, count, _SMOOTH if smooth else _FAST)
        if folded:
            layer = np.float32(1.0) - np.abs(np.float32(2.0) * layer - np.float32(1.0))
            layer = layer * layer
        total += np.float32(amplitude) * layer
        reach += amplitude
        amplitude *= gain
    return total / np.float32(reach)


def _make_layer(
    rng: np.random.Generator, pixels: int, cells: int, resampling: Image.Resampling
) -> Field:
    """A random grid, interpolated and turned by a random angle so that its axes don't show."""
    # The turned image must lie inside the grid: sqrt(2) wide, and two cells for the interpolation.
    count = math.ceil(cells * math.sqrt(2.0)) + 4
    grid = Image.fromarray(rng.random((count, count), dtype=np.float32))
    turn = float(rng.uniform(0.0, 2.0 * math.pi))
    cos, sin = math.cos(turn) * cells / pixels, math.sin(turn) * cells / pixels
    middle, half = count / 2, pixels / 2
    matrix = (
        cos,
        -sin,
        middle - half * (cos - sin),
        sin,
        cos,
        middle - half * (cos + sin),
    )
    turned = grid.transform((pixels, pixels), Image.Transform.AFFINE, matrix, resampling)
    return np.asarray(turned)


def apply_ramp(field: Field, stops: Sequence[tuple[float, Colour]]) -> Ground:
    """Colours a field: `stops` are (position in 0..1, colour), positions rising."""
    positions = [position for position, _ in stops]
    table = np.stack(
        [
            np.interp(np.linspace(0.0, 1.0, 256), positions, [c[channel] for _, c in stops])
            for channel in range(3)
        ],
        axis=-1,
    ).astype(np.float32)
    index = (np.clip(field, 0.0, 1.0) * np.float32(255.0)).astype(np.uint8)
    return table[index]


def shade_relief(height: Field, sun: tuple[float, float], *, steepness: float) -> Field:
    """Lambert shading of a height field, 1.0 on level ground.

    `sun` is the unit vector from the ground towards the sun in pixel axes; `steepness` is the
    vertical exaggeration, relative to the width of the scene.
    """
    scale = np.float32(steepness * height.shape[0])
    slope_y, slope_x = np.gradient(height)
    slope_y, slope_x = slope_y * scale, slope_x * scale
    facing = -(slope_x * np.float32(sun[0]) + slope_y * np.float32(sun[1]))
    norm = np.sqrt(np.float32(1.0) + slope_x * slope_x + slope_y * slope_y)
    return np.asarray((facing + np.float32(1.0)) / norm, dtype=np.float32)


def make_mask(field: Field, edge: float, softness: float) -> Field:
    """0 below `edge`, 1 above it, with a linear slope `softness` wide."""
    slope: Field = (field - np.float32(edge)) / np.float32(softness) + np.float32(0.5)
    return slope.clip(0.0, 1.0)


def blend(base: Ground, top: Ground | Colour, mask: Field) -> Ground:
    """`top` over `base` where `mask` is 1."""
    over = np.asarray(top, dtype=np.float32)
    mixed: Ground = base + (over - base) * mask[..., None]
    return mixed
