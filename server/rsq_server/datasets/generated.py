"""Overhead scenes drawn by rsq, for those who have no images: ten classes, with captions."""

from __future__ import annotations

import io
import math
from typing import Literal

from rsq.digest import digest_bytes
from rsq_server.datasets.image_text_set import (
    CALIBRATION_SPLIT,
    EVALUATION_SPLIT,
    ImageTextSet,
    Sample,
    digest_samples,
)
from rsq_server.datasets.sampling import take_in_turn
from rsq_server.demo.scenes import CLASSES, generate_scenes

# Fixed and different, so that generated calibration never shows in generated evaluation. The demo
# model's training draws its scenes from other seeds.
_SEEDS = {"calibration": 9_010_001, "evaluation": 9_020_001}
_CAPTION_SCENE_PIXELS = 16  # a scene is captioned alike at any size, and small ones are quick


def generated_set(purpose: Literal["calibration", "evaluation"], *, per_class: int) -> ImageTextSet:
    """Generated overhead scenes, `per_class` of each class, the same ones every time and different
    ones for the two purposes."""
    samples = []
    for scene in generate_scenes(seed=_SEEDS[purpose], per_class=per_class):
        buffer = io.BytesIO()
        # BMP has one encoding of an image, so the digest does not depend on a compressor's version.
        scene.image.save(buffer, "BMP")
        samples.append(Sample(buffer.getvalue(), scene.label, tuple(scene.captions)))
    split = CALIBRATION_SPLIT if purpose == "calibration" else EVALUATION_SPLIT
    rows = (
        (f"{index:06d}", digest_bytes(sample.read()), sample)
        for index, sample in enumerate(samples)
    )
    return ImageTextSet(
        name=f"generated-scenes-{purpose}-{len(samples)}",
        digest=digest_samples(rows, split),
        samples=tuple(samples),
        labels=True,
    )


def generated_captions(count: int) -> list[str]:
    """What `count` scenes for calibration or a few more are called, the classes in turn: every
    scene's first caption, then every scene's second and so on, each text once."""
    per_class = math.ceil(count / len(CLASSES))
    scenes = generate_scenes(
        seed=_SEEDS["calibration"], per_class=per_class, size=_CAPTION_SCENE_PIXELS
    )
    in_turn = [scene for row in range(per_class) for scene in scenes[row::per_class]]
    return list(dict.fromkeys(take_in_turn([scene.captions for scene in in_turn])))
