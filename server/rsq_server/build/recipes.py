"""The recipes that make variants: what each does to an FP32 tower, and for which providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir

from rsq.manifest import RecipeSpec, Tower
from rsq_server.build.half_precision import convert_to_half
from rsq_server.build.per_token import quantize_per_token

_CPU = "CPUExecutionProvider"
_FLOAT_PROVIDERS = (
    _CPU,
    "CUDAExecutionProvider",
    "TensorrtExecutionProvider",
    "OpenVINOExecutionProvider",
)


@dataclass(frozen=True)
class Recipe:
    """`rewrite` changes an FP32 tower in place; None leaves it as it is. `batch_invariant`: whether
    a vector is the same alone and in any batch. `parameters` go into the manifest, of a text tower
    with `text_parameters`."""

    name: str
    description: str
    providers: tuple[str, ...]
    rewrite: Callable[[ir.Model], None] | None = None
    batch_invariant: bool = True
    parameters: Mapping[str, Any] = field(default_factory=dict)
    text_parameters: Mapping[str, Any] = field(default_factory=dict)

    def to_spec(self, tower: Tower) -> RecipeSpec:
        extra = self.text_parameters if tower == "text" else {}
        return RecipeSpec(self.name, self.providers, {**self.parameters, **extra})


# By variant, in the order in which they are built and shown.
RECIPES: dict[str, Recipe] = {
    "fp32": Recipe("export", "the exported tower as it is", _FLOAT_PROVIDERS),
    "fp16": Recipe(
        "half-precision",
        "weights and arithmetic in half precision, for GPUs",
        _FLOAT_PROVIDERS,
        convert_to_half,
    ),
    "int8": Recipe(
        "per-token-dynamic",
        "INT8 linear layers and text embeddings, a scale for each token, for CPUs",
        # CUDA has no kernel for uint8 x int8 and would fall back to the CPU.
        (_CPU,),
        quantize_per_token,
        parameters={
            "activations": "uint8, per token, dynamic",
            "weights": "int8, per column, symmetric",
        },
        text_parameters={"embeddings": "int8, per row, symmetric"},
    ),
}
