"""The space id: which embedding space a checkpoint's vectors live in.

It covers what decides a vector: both towers' weights as FP32 under their sorted names, the layers'
activation, heads, epsilon and pooling, the preprocessing, the tokenizer and the dimension. How the
weights were sharded or stored leaves it unchanged. Scale and bias of the score are left out: they
change no vector.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rsq.digest import digest_file, digest_parts
from rsq.manifest import canonical_json
from rsq_server.build.dual_encoder import DualEncoder


def space_id(encoder: DualEncoder) -> str:
    """SHA-256 over the facts as canonical JSON, then per tensor its name and shape as canonical
    JSON and its values as little-endian float32 in row order, each part ended by a newline."""
    return digest_parts(_parts(encoder))


def _parts(encoder: DualEncoder) -> Iterator[bytes | memoryview]:
    yield canonical_json(
        {
            "architecture": dict(encoder.architecture),
            "dimension": encoder.dimension,
            "image": asdict(encoder.image),
            "text": asdict(encoder.text_spec),
            "tokenizer": digest_file(encoder.tokenizer_json),
        }
    )
    yield b"\n"
    for name, tensor in sorted(encoder.weights.items()):
        yield canonical_json([name, list(tensor.shape)])
        yield b"\n"
        yield _values(tensor)
        yield b"\n"


def _values(tensor: torch.Tensor) -> memoryview:
    values: NDArray[Any] = tensor.detach().to(torch.float32).contiguous().numpy()
    return values.astype("<f4", copy=False).reshape(-1).view(np.uint8).data
