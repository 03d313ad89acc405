"""What a calibration set is worth: how much of the test images' value range it reaches, and how far
the model finds it from the test images. Needs the real data (RSQ_DATA, see tests/conftest.py)."""

from __future__ import annotations

import argparse
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from rsq.images import load_pixel_values
from rsq.similarity import normalise
from rsq_server.build.load import load_encoder
from rsq_server.datasets.augmentation import augmented
from rsq_server.datasets.generated import generated_set
from rsq_server.datasets.image_text_set import EVALUATION_SPLIT, ImageTextSet, Sample
from rsq_server.datasets.loading import load_calibration_set, load_image_text_set
from rsq_server.datasets.sampling import sample_by_class
from rsq_server.datasets.unlikeness import unlikeness

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("RSQ_DATA", REPOSITORY.parent / "shared" / "data"))
BATCH, PIXELS, DRAWS = 32, 150, 100
SIZES = (1, 8, 16, 64)
CLASSES = (1, 2, 3, 5, 10)
Rows = NDArray[np.float32]


class Tower:
    """The vision tower, with the largest absolute input of each of its linear layers."""

    def __init__(self, folder: Path) -> None:
        self._encoder = load_encoder(folder)
        self._layers = [m for m in self._encoder.vision.modules() if isinstance(m, torch.nn.Linear)]
        self._largest: dict[int, Rows] = {}
        for index, layer in enumerate(self._layers):
            layer.register_forward_pre_hook(self._watch(index))

    def embed(self, samples: Sequence[Sample]) -> tuple[Rows, Rows]:
        """Vectors [n, dim] and largest inputs [n, layers]."""
        vectors, ranges = [], []
        for start in range(0, len(samples), BATCH):
            part = samples[start : start + BATCH]
            pixels = np.stack([load_pixel_values(s.read(), self._encoder.image) for s in part])
            with torch.no_grad():
                vectors.append(self._encoder.vision(torch.from_numpy(pixels)).numpy())
            layers = range(len(self._layers))
            ranges.append(np.stack([self._largest[index] for index in layers], 1))
        return normalise(np.concatenate(vectors)), np.concatenate(ranges)

    def _watch(self, index: int) -> Any:
        def watch(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            self._largest[index] = inputs[0].abs().flatten(1).amax(1).numpy()

        return watch


def run() -> dict[str, Any]:
    tower = Tower(DATA / "models" / "rsq-siglip-small")
    calibration = load_calibration_set(DATA / "aid-rsicd")
    test = load_image_text_set(DATA / "aid-rsicd", split=EVALUATION_SPLIT)
    test_vectors, test_ranges = tower.embed(test.samples)
    full = test_ranges.max(0)
    sets = {
        "AID": calibration.samples,
        "generated scenes": generated_set("calibration", per_class=10).samples,
        "one survey": _survey(),
        "one colour each": _plain(),
        "noise": _noise(),
    }
    embedded = {name: tower.embed(samples) for name, samples in sets.items()}
    random = np.random.default_rng(1)
    rows = []
    for name, (vectors, ranges) in embedded.items():
        for count in (*(size for size in SIZES if size < len(vectors)), len(vectors)):
            draws = [random.permutation(len(vectors))[:count] for _ in range(DRAWS)]
            found = [unlikeness(vectors[d], test_vectors) for d in draws if count > 1]
            rows.append(
                {
                    "set": name,
                    "images": count,
                    "range_share": float(
                        np.mean([(ranges[d].max(0) / full).mean() for d in draws])
                    ),
                    "distance": float(np.median([f.distance for f in found])) if found else None,
                    "expected": found[0].expected if found else None,
                    "warned": float(np.mean([f.unlike for f in found])) if found else None,
                    "nearest_cosine": float(np.median((vectors @ test_vectors.T).max(1))),
                }
            )
    labels = np.array([sample.label for sample in calibration.samples])
    few = {}
    for count in CLASSES:
        kept = [random.permutation(np.unique(labels))[:count] for _ in range(DRAWS)]
        vectors = embedded["AID"][0]
        few[count] = float(
            np.mean([unlikeness(vectors[np.isin(labels, k)], test_vectors).unlike for k in kept])
        )
    return {
        "sets": rows,
        "warned_by_classes": few,
        "augmented": _augment(tower, full, test_vectors, calibration),
    }


def _augment(
    tower: Tower, full: Rows, test_vectors: Rows, calibration: ImageTextSet
) -> dict[str, float]:
    originals, variants, cosines = [], [], []
    for seed in range(10):
        eight = sample_by_class(calibration, 8, seed)
        vectors, ranges = tower.embed(augmented(eight, 7, seed).samples)
        originals.append((ranges[:8].max(0) / full).mean())
        variants.append((ranges.max(0) / full).mean())
        cosines.append((vectors[8:].reshape(7, 8, -1) * vectors[:8]).sum(-1).mean())
    many, _ = tower.embed(augmented(sample_by_class(calibration, 64, 0), 1, 0).samples)
    return {
        "distance_of_64_originals": unlikeness(many[:64], test_vectors).distance,
        "distance_of_64_variants": unlikeness(many[64:], test_vectors).distance,
        "range_share_of_8": float(np.mean(originals)),
        "range_share_with_7_variants_of_each": float(np.mean(variants)),
        "cosine_to_original": float(np.mean(cosines)),
    }


def _encode(image: Image.Image) -> Sample:
    buffer = io.BytesIO()
    image.save(buffer, "BMP")
    return Sample(buffer.getvalue(), None, ())


def _survey() -> list[Sample]:
    """Tiles of the three NAIP images of one place."""
    tiles = []
    for file in sorted((DATA / "geotiff").glob("opengeos_naip_*")):
        with Image.open(file) as opened:
            image = opened.convert("RGB")
        for top in range(0, image.height - PIXELS, PIXELS):
            for left in range(0, image.width - PIXELS, PIXELS):
                tiles.append(_encode(image.crop((left, top, left + PIXELS, top + PIXELS))))
    return tiles


def _noise() -> list[Sample]:
    random = np.random.default_rng(0)
    shape = (PIXELS, PIXELS, 3)
    return [
        _encode(Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8))) for _ in range(64)
    ]


def _plain() -> list[Sample]:
    random = np.random.default_rng(2)
    return [
        _encode(Image.new("RGB", (PIXELS, PIXELS), tuple(map(int, random.integers(0, 256, 3)))))
        for _ in range(64)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="where to write the figures as JSON")
    options = parser.parse_args()
    figures = run()
    print("set               images  range  distance  expected  warned  nearest cosine")
    for row in figures["sets"]:
        cells = [row[key] for key in ("range_share", "distance", "expected", "warned")]
        numbers = "".join(f"{'-':>9}" if cell is None else f"{cell:9.3f}" for cell in cells)
        print(f"{row['set']:17} {row['images']:6}{numbers}  {row['nearest_cosine']:8.3f}")
    print("share of choices of classes warned about:", figures["warned_by_classes"])
    print("augmented:", figures["augmented"])
    if options.out is not None:
        options.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
