"""What every scene drawer shares: its result, the choice of view and sun, and number words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image

from rsq_server.demo.canvas import Canvas, Point, View
from rsq_server.demo.terrain import Ground

Choice = TypeVar("Choice")
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True)
class Drawing:
    """An image before the sensor's effects, and phrases that are true of it, most exact first."""

    image: Image.Image
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """The view and the light of one scene."""

    view: View
    sun: Point

    def open_canvas(self, ground: Ground) -> Canvas:
        """A canvas over `ground` with this view and sun."""
        return Canvas(ground, self.view, self.sun)


def set_stage(
    rng: np.random.Generator, pixels: int, *, zoom: tuple[float, float] = (0.85, 1.35)
) -> Stage:
    """A random rotation, a zoom in the given range and a random direction of the sun."""
    turn, light = rng.uniform(0.0, 2.0 * math.pi, size=2)
    view = View(pixels, float(turn), float(rng.uniform(*zoom)))
    return Stage(view, (math.cos(light), math.sin(light)))


def pick(rng: np.random.Generator, options: Sequence[Choice]) -> Choice:
    """One of `options`, each as likely."""
    return options[int(rng.integers(len(options)))]


def count_of(number: int, noun: str, plural: str | None = None) -> str:
    """ "one ship", "three ships", "many ships"."""
    words = NUMBERS[number] if number < len(NUMBERS) else "many"
    return f"{words} {noun if number == 1 else plural or noun + 's'}"
