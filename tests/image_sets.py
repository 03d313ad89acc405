"""Small folders of images as users have them, and sets in memory."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rsq_server.datasets.image_text_set import ImageTextSet, Sample


def make_png(value: int, size: tuple[int, int] = (7, 5)) -> bytes:
    """An image of one colour; `size` is width and height."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def make_noise_png(seed: int, pixels: int = 32) -> bytes:
    buffer = io.BytesIO()
    random = np.random.default_rng(seed)
    Image.fromarray(random.integers(0, 256, (pixels, pixels, 3), dtype=np.uint8)).save(
        buffer, "PNG"
    )
    return buffer.getvalue()


def write_images(root: Path, names: Iterable[str]) -> Path:
    """The first name gets make_png(0), the second make_png(1) and so on."""
    for index, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make_png(index))
    return root


def write_lines(file: Path, lines: Iterable[dict[str, Any] | str]) -> Path:
    """JSON lines; a text is written as it is. Returns the file's folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    file.write_text("\n".join(text) + "\n")
    return file.parent


def make_set(
    labels: Iterable[str | None], captions: Iterable[tuple[str, ...]] | None = None
) -> ImageTextSet:
    """Noise images with these labels."""
    labels = list(labels)
    texts = list(captions) if captions is not None else [()] * len(labels)
    samples = tuple(
        Sample(make_noise_png(index), label, own)
        for index, (label, own) in enumerate(zip(labels, texts, strict=True))
    )
    return ImageTextSet("made", "0" * 64, samples, all(label is not None for label in labels))
