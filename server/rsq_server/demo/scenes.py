"""Generated overhead scenes of ten classes, with captions. No real imagery, no torch.

They train the demo model, and serve as calibration and evaluation data where a user has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from rsq.errors import BadInput
from rsq_server.demo.drawing import Drawing, pick
from rsq_server.demo.landscapes import draw_farmland, draw_forest
from rsq_server.demo.relief import draw_desert, draw_snow_mountain
from rsq_server.demo.settlements import draw_industrial, draw_urban
from rsq_server.demo.terrain import make_fractal
from rsq_server.demo.traffic import draw_airport, draw_port
from rsq_server.demo.waters import draw_coast, draw_river

_DRAWERS: Mapping[str, Callable[[np.random.Generator, int], Drawing]] = {
    "urban": draw_urban,
    "farmland": draw_farmland,
    "forest": draw_forest,
    "coast": draw_coast,
    "snow mountain": draw_snow_mountain,
    "desert": draw_desert,
    "river": draw_river,
    "airport": draw_airport,
    "port": draw_port,
    "industrial": draw_industrial,
}
CLASSES: tuple[str, ...] = tuple(_DRAWERS)
_FRAMES = ("a satellite image of {}", "an aerial photo of {}", "an overhead view of {}")
# Scenes are drawn at twice their size and averaged down, which smooths every edge.
_OVERSAMPLING = 2


@dataclass(frozen=True)
class Scene:
    """One generated image, its class and what is true of it in words, the most exact first."""

    image: Image.Image
    label: str
    captions: tuple[str, ...]


def generate_scene(label: str, *, seed: int, size: int = 96) -> Scene:
    """The scene of class `label` for `seed`: an RGB image of `size` x `size` pixels.

    The same label, seed and size give the same bytes; another size gives the same scene at another
    resolution. Raises BadInput for a label outside CLASSES.
    """
    if label not in _DRAWERS:
        raise BadInput(f"Unknown scene class '{label}'; the classes are {', '.join(CLASSES)}.")
    rng = np.random.default_rng([seed, CLASSES.index(label)])
    drawing = _DRAWERS[label](rng, size * _OVERSAMPLING)
    framed = pick(rng, _FRAMES).format(drawing.phrases[1])
    image = _expose(rng, drawing.image, size)
    return Scene(image, label, tuple(dict.fromkeys((*drawing.phrases, framed))))


def generate_scenes(*, seed: int, per_class: int, size: int = 96) -> list[Scene]:
    """`per_class` scenes of every class, class by class in the order of CLASSES."""
    seeds = np.random.default_rng(seed).integers(2**63, size=(len(CLASSES), per_class))
    return [
        generate_scene(label, seed=int(scene_seed), size=size)
        for label, row in zip(CLASSES, seeds, strict=True)
        for scene_seed in row
    ]


def _expose(rng: np.random.Generator, image: Image.Image, size: int) -> Image.Image:
    """The sensor: uneven ground, colour balance, exposure, haze and a little grain."""
    texture = make_fractal(rng, image.width, cells=24, octaves=3, gain=0.7)
    pixels = np.asarray(image, dtype=np.float32)
    pixels = pixels * (np.float32(0.9) + np.float32(0.2) * texture)[..., None]
    balance = rng.uniform(0.95, 1.05, size=3) * rng.uniform(0.85, 1.12)
    haze = float(rng.uniform(0.0, 0.14))
    veil = np.array([206, 214, 222], dtype=np.float32) * np.float32(haze)
    pixels = pixels * (balance * (1.0 - haze)).astype(np.float32) + veil
    small = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGB").reduce(_OVERSAMPLING)
    # Grain comes last: it is the only draw whose number depends on the size.
    grain = rng.integers(-4, 5, size=(size, size, 1), dtype=np.int16)
    noisy = np.clip(np.asarray(small, dtype=np.int16) + grain, 0, 255)
    return Image.fromarray(noisy.astype(np.uint8), "RGB")
