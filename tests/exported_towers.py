"""Tiny SigLIP and CLIP towers as FP32 graphs, with calibration rows that need no data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tiny_checkpoints import SIZE, write_clip, write_siglip

from rsq.manifest import TOWERS, Tower
from rsq_server.build.calibration_rows import CalibrationRows, embed_tower
from rsq_server.build.export import export_tower
from rsq_server.build.load import load_encoder

FAMILIES = {"siglip": write_siglip, "clip": write_clip}
ITEMS = 24


@dataclass(frozen=True)
class ExportedPair:
    """`folders` and inputs of both towers, and FP32's vectors of these."""

    folders: dict[Tower, Path]
    inputs: dict[Tower, NDArray[Any]]
    vectors: dict[Tower, NDArray[np.float32]]

    def calibration(self, tower: Tower) -> CalibrationRows:
        other: Tower = "text" if tower == "vision" else "vision"
        return CalibrationRows(
            tower, "0" * 64, self.inputs[tower], self.vectors[tower], self.vectors[other]
        )

    def batches(self, tower: Tower) -> Iterator[NDArray[Any]]:
        return (self.inputs[tower][start : start + 5] for start in range(0, ITEMS, 5))


def export_pair(family: str, work: Path) -> ExportedPair:
    """Both towers of `family`, random and the same each time, below `work`."""
    encoder = load_encoder(FAMILIES[family](work / "checkpoint"))
    folders: dict[Tower, Path] = {tower: work / f"{tower}-export" for tower in TOWERS}
    for tower in TOWERS:
        export_tower(encoder, tower, folders[tower])
    random = np.random.default_rng(3)
    pixels = random.uniform(-1, 1, (ITEMS, 3, SIZE, SIZE)).astype(np.float32)
    ids = np.concatenate([encoder.sample_inputs("text", 1) for _ in range(ITEMS)])
    length = ids.shape[1]
    ids[:, 1 : length // 2] = random.integers(2, 900, (ITEMS, length // 2 - 1))
    inputs: dict[Tower, NDArray[Any]] = {"vision": pixels, "text": ids}
    vectors = {tower: embed_tower(folders[tower], tower, inputs[tower]) for tower in TOWERS}
    return ExportedPair(folders, inputs, vectors)
