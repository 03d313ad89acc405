"""Deliberately broken pipelines: what the golden probe must be able to tell from a healthy one.

Each is a mistake that an integration can make without any error message, only worse answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.manifest import ImageSpec, TextSpec

# The channel statistics of CLIP's training data (Radford et al. 2021), and SigLIP's.
_CLIP_STATISTICS = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_SIGLIP_STATISTICS = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def break_images(
    inputs: NDArray[np.float32], spec: ImageSpec
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """(what is wrong, inputs as that mistake would give them), for `inputs` float32 [n, 3, h, w]
    preprocessed by `spec`."""
    mean, std = _columns(spec.mean), _columns(spec.std)
    pixels = inputs * std + mean  # 0..1
    yield "channels in BGR order", (pixels[:, ::-1] - mean) / std
    yield "pixels not normalised", pixels
    own = (spec.mean, spec.std)
    other = _CLIP_STATISTICS if own == _SIGLIP_STATISTICS else _SIGLIP_STATISTICS
    yield "another model's mean and std", (pixels - _columns(other[0])) / _columns(other[1])
    yield "channels last", inputs.transpose(0, 2, 3, 1).reshape(inputs.shape)
    if spec.height == spec.width:
        yield "rows and columns exchanged", inputs.transpose(0, 1, 3, 2)


def break_texts(
    inputs: NDArray[np.int64], spec: TextSpec
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """(what is wrong, ids as that mistake would give them), for `inputs` int64 [n, max_length]
    tokenized by `spec`."""
    places = np.arange(inputs.shape[1])
    # Where pad and eos are one id, the first of the run ends the text and the rest is padding.
    ends = inputs.shape[1] - (inputs[:, ::-1] != spec.pad_id).argmax(1)
    padding = places >= ends[:, None] + (spec.pad_id == spec.eos_id)
    yield "another padding id", np.where(padding, int(spec.pad_id == 0), inputs)
    yield "tokens shifted by one", np.roll(inputs, 1, axis=1)
    yield "texts cut at half the length", np.where(places < len(places) // 2, inputs, spec.pad_id)
    ids = np.setdiff1d(inputs, [spec.pad_id, spec.eos_id])
    known = np.isin(inputs, ids)
    exchanged = ids[::-1][np.searchsorted(ids, np.where(known, inputs, ids[0]))]
    yield "another vocabulary", np.where(known, exchanged, inputs)


def break_outputs(rows: NDArray[np.float32]) -> Iterator[tuple[str, NDArray[Any]]]:
    """(what is wrong, rows as that fault would give them), for healthy `rows` float32 [n, dim]."""
    yield "outputs swapped", np.roll(rows, 1, axis=0)
    yield "constant outputs", np.broadcast_to(rows.mean(axis=0), rows.shape)


def _columns(values: tuple[float, float, float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)[:, None, None]
