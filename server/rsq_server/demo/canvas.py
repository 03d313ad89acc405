"""A canvas in scene units: shapes are placed on the ground, the view turns and scales them.

Scene units: the image spans about -0.5..0.5 in both axes around (0, 0), x to the right and y down
before the view's rotation. Drawers cover -0.8..0.8, so that no rotation shows an empty corner.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from rsq_server.demo.terrain import Colour, Field, Ground

Point = tuple[float, float]
SHADOW = (12, 16, 28, 120)


@dataclass(frozen=True)
class View:
    """Where the sensor looks: edge length in pixels, rotation in radians, zoom, 1 for the whole."""

    pixels: int
    angle: float
    zoom: float

    def locate(self, points: Sequence[Point]) -> list[Point]:
        """Pixel coordinates of points in scene units."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        scale, middle = self.zoom * self.pixels, self.pixels / 2
        return [
            (middle + scale * (cos * x - sin * y), middle + scale * (sin * x + cos * y))
            for x, y in points
        ]

    def make_grid(self) -> tuple[Field, Field]:
        """Scene coordinates x and y of every pixel's centre."""
        line = (np.arange(self.pixels, dtype=np.float32) + np.float32(0.5)) / self.pixels
        reach = ((line - np.float32(0.5)) / np.float32(self.zoom)).astype(np.float32)
        across, down = np.meshgrid(reach, reach)
        cos, sin = np.float32(math.cos(self.angle)), np.float32(math.sin(self.angle))
        return cos * across + sin * down, cos * down - sin * across


class Canvas:
    """Draws shapes with shadows over a ground. `sun` points towards the sun in pixel axes."""

    def __init__(self, ground: Ground, view: View, sun: Point) -> None:
        self.view = view
        self.image = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8), "RGB")
        self._draw = ImageDraw.Draw(self.image, "RGBA")
        self._sun = sun
        self._scale = view.zoom * view.pixels

    def polygon(
        self, points: Sequence[Point], fill: tuple[int, ...], *, height: float = 0.0
    ) -> None:
        """A filled polygon; `height` in scene units throws a shadow away from the sun."""
        located = self.view.locate(points)
        if not self._is_visible(located):
            return
        if height:
            reach = height * self._scale
            for share in (0.5, 1.0):
                dx, dy = -self._sun[0] * reach * share, -self._sun[1] * reach * share
                self._draw.polygon([(x + dx, y + dy) for x, y in located], fill=SHADOW)
        self._draw.polygon(located, fill=fill)

    def box(
        self,
        centre: Point,
        length: float,
        width: float,
        fill: tuple[int, ...],
        *,
        angle: float = 0.0,
        height: float = 0.0,
    ) -> None:
        """A rectangle, `length` along `angle` (radians, 0 = x axis)."""
        self.polygon(make_box(centre, length, width, angle), fill, height=height)

    def disc(
        self, centre: Point, radius: float, fill: tuple[int, ...], *, height: float = 0.0
    ) -> None:
        """A filled circle."""
        ((x, y),) = self.view.locate([centre])
        reach = radius * self._scale
        if not self._is_visible([(x - reach, y - reach), (x + reach, y + reach)]):
            return
        if height:
            dx = x - self._sun[0] * height * self._scale
            dy = y - self._sun[1] * height * self._scale
            self._draw.ellipse((dx - reach, dy - reach, dx + reach, dy + reach), fill=SHADOW)
        self._draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=fill)

    def path(self, points: Sequence[Point], width: float, fill: tuple[int, ...]) -> None:
        """A line of `width` scene units through `points`, at least one pixel wide."""
        pixels = max(1, round(width * self._scale))
        self._draw.line(self.view.locate(points), fill=fill, width=pixels, joint="curve")

    def towards_sun(self, centre: Point, distance: float) -> Point:
        """The point `distance` scene units from `centre` on the sunny side."""
        cos, sin = math.cos(self.view.angle), math.sin(self.view.angle)
        dx, dy = self._sun[0] * distance, self._sun[1] * distance
        return centre[0] + cos * dx + sin * dy, centre[1] - sin * dx + cos * dy

    def contains(self, point: Point) -> bool:
        """Whether the point lies inside the image."""
        ((x, y),) = self.view.locate([point])
        return 0 <= x < self.view.pixels and 0 <= y < self.view.pixels

    def _is_visible(self, located: Sequence[Point]) -> bool:
        margin = 0.1 * self.view.pixels
        low, high = -margin, self.view.pixels + margin
        xs, ys = [x for x, _ in located], [y for _, y in located]
        return max(xs) > low and min(xs) < high and max(ys) > low and min(ys) < high


def place(centre: Point, angle: float, along: float, across: float) -> Point:
    """The point `along` and `across` an axis through `centre` that points to `angle`."""
    cos, sin = math.cos(angle), math.sin(angle)
    return centre[0] + along * cos - across * sin, centre[1] + along * sin + across * cos


def make_box(centre: Point, length: float, width: float, angle: float) -> list[Point]:
    """Corners of a rectangle, `length` along `angle`."""
    x, y = length / 2, width / 2
    return [place(centre, angle, *corner) for corner in ((-x, -y), (x, -y), (x, y), (-x, y))]


def vary(rng: np.random.Generator, colour: Colour, amount: int = 14) -> Colour:
    """A colour near `colour`: lightness varies most, hue a little."""
    light = int(rng.integers(-amount, amount + 1))
    tints = rng.integers(-amount // 3, amount // 3 + 1, size=3).tolist()
    red, green, blue = (
        min(255, max(0, channel + light + tint))
        for channel, tint in zip(colour, tints, strict=True)
    )
    return red, green, blue


def darken(colour: Colour, share: float = 0.8) -> Colour:
    """The colour at `share` of its lightness; above 1 it lightens."""
    red, green, blue = (min(255, int(c * share)) for c in colour)
    return red, green, blue
