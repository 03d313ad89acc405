"""A checkpoint in memory: both towers in torch, and everything a manifest says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rsq.manifest import ImageSpec, ScoringSpec, TextSpec, Tower


@dataclass(frozen=True)
class DualEncoder:
    """A vision-language dual encoder in FP32, in evaluation mode.

    `vision`: pixel_values float32 [n, 3, height, width] -> float32 [n, dimension];
    `text`: input_ids int64 [n, max_length] -> float32 [n, dimension]; neither is normalised.
    `weights` are both towers' tensors under the checkpoint's own names, sharing the modules'
    memory. `architecture` holds what decides the vectors beside the weights: heads, activation,
    pooling.
    """

    vision: torch.nn.Module
    text: torch.nn.Module
    image: ImageSpec
    text_spec: TextSpec
    scoring: ScoringSpec
    dimension: int
    vocabulary_size: int
    licence: str
    tokenizer_json: Path
    weights: Mapping[str, torch.Tensor]
    architecture: Mapping[str, Any]

    def tower(self, tower: Tower) -> torch.nn.Module:
        return self.vision if tower == "vision" else self.text

    def sample_inputs(self, tower: Tower, count: int) -> NDArray[Any]:
        """Noise of the tower's input type and shape, the same on every call: pixel values
        float32 [count, 3, height, width] or ids int64 [count, max_length] with eos and padding."""
        random = np.random.default_rng(count)
        if tower == "vision":
            shape = (count, 3, self.image.height, self.image.width)
            return random.uniform(-1, 1, shape).astype(np.float32)
        spec = self.text_spec
        ids = random.integers(0, self.vocabulary_size, (count, spec.max_length), np.int64)
        ends = random.integers(2, spec.max_length, count)
        places = np.arange(spec.max_length)
        ids = np.where(places > ends[:, None], spec.pad_id, ids)
        ids[np.arange(count), ends] = spec.eos_id
        if spec.bos_id is not None:
            ids[:, 0] = spec.bos_id
        return ids
