"""Recipes: what is done to an FP32 tower to make a variant, as data. No arithmetic here.

A recipe of INT8 says how activations get their scales, which parts of the tower become INT8, how
weights are rounded, and what is done before and after. Users add their own in a TOML file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from rsq.errors import BadInput
from rsq.manifest import RecipeSpec, Tower
from rsq.providers import (
    CPU_PROVIDER,
    CUDA_PROVIDER,
    OPENVINO_PROVIDER,
    TENSORRT_PROVIDER,
    TORCH_CUDA,
)

Activations = Literal["float", "half", "token", "wide", "static", "static-s8", "stock", "torch"]
Weights = Literal["gptq", "nearest"]
Embeddings = Literal["int8", "half", "float"]
Calibrator = Literal["minmax", "percentile", "entropy"]

PARTS = ("attention", "ffn", "head", "convolution")
LAST = "last"
_LINEARS = ("attention", "ffn", "head")
# OpenVINO, as a provider, can't read the towers' Attention; int8-static-s8 holds none.
_FLOAT_PROVIDERS = (CPU_PROVIDER, CUDA_PROVIDER, TENSORRT_PROVIDER)
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")

# Which options mean something for which kind of activations, beside name and description.
_INTEGER = frozenset({"parts", "text_parts", "weights", "smoothing", "embeddings", "float_blocks"})
_TUNABLE = _INTEGER | {"tune_projection"}
OPTIONS: dict[str, frozenset[str]] = {
    "float": frozenset(),
    "half": frozenset(),
    "stock": frozenset(),
    "torch": frozenset(),
    "token": _TUNABLE | {"search"},
    "wide": _TUNABLE,
    "static": _TUNABLE | {"calibrator", "percentile"},
    "static-s8": _TUNABLE - {"embeddings"} | {"calibrator", "percentile"},
}


@dataclass(frozen=True)
class Search:
    """For which layers stay at higher precision, so that on the calibration set the first hit is
    FP32's for at least `floor` of the queries of a pair, at the least cost; at most `trials`
    assignments are measured for each tower."""

    floor: float = 0.993
    trials: int = 24
    seed: int = 0


@dataclass(frozen=True)
class Recipe:
    """`variant` is the name of what it makes.

    activations   float, half: the whole tower; token, wide, static: as `build.integer` describes;
                  static-s8: symmetric QDQ and attention as products, for TensorRT and OpenVINO;
                  stock: ONNX Runtime's quantize_dynamic; torch: torchao's, as an exported program
    parts         of the tower that become INT8; `text_parts` where the text tower differs
    weights       gptq, or to the nearest
    smoothing     SmoothQuant's alpha, or None
    embeddings    the text tower's table
    float_blocks  blocks that keep FP32, "last" for the last
    calibrator    of static activations; `percentile` of the values that one keeps
    tune_projection   whether the last linear layer learns to give FP32's embeddings back
    """

    variant: str
    description: str
    providers: tuple[str, ...]
    activations: Activations
    parts: tuple[str, ...] = _LINEARS
    text_parts: tuple[str, ...] | None = None
    weights: Weights = "gptq"
    smoothing: float | None = 0.5
    embeddings: Embeddings = "int8"
    float_blocks: tuple[str, ...] = ()
    calibrator: Calibrator = "minmax"
    percentile: float = 99.999
    tune_projection: bool = False
    search: Search | None = None

    @property
    def batch_invariant(self) -> bool:
        """Whether a vector is the same alone and in any batch."""
        return self.activations != "stock"

    @property
    def calibrates(self) -> bool:
        """Whether the artifact's bytes depend on the calibration set."""
        if self.activations in ("float", "half", "stock", "torch"):
            return False
        return (
            self.activations in ("static", "static-s8")
            or self.weights == "gptq"
            or self.smoothing is not None
            or self.tune_projection
            or self.search is not None
        )

    def parts_of(self, tower: Tower) -> tuple[str, ...]:
        if tower == "text" and self.text_parts is not None:
            return self.text_parts
        return self.parts

    def to_spec(self, tower: Tower) -> RecipeSpec:
        """What the manifest says: the options that mean something for this recipe and tower."""
        parameters: dict[str, Any] = {}
        for name in sorted(OPTIONS[self.activations] - {"text_parts", "search"}):
            value = self.parts_of(tower) if name == "parts" else getattr(self, name)
            if value is not None and not (name == "embeddings" and tower == "vision"):
                parameters[name] = list(value) if isinstance(value, tuple) else value
        if self.search is not None:
            parameters["search"] = {
                field.name: getattr(self.search, field.name) for field in fields(Search)
            }
        return RecipeSpec(self.activations, self.providers, parameters)


def check_recipe(recipe: Recipe) -> None:
    """Raises BadInput naming the recipe and the value at fault."""
    where = f"The recipe {recipe.variant[:40]!r}"
    if not _NAME.fullmatch(recipe.variant):
        raise BadInput(f"{where} needs a name of small letters, digits, '.' and '-'.")
    for name, value, known in (
        ("weights", recipe.weights, ("gptq", "nearest")),
        ("embeddings", recipe.embeddings, ("int8", "half", "float")),
        ("calibrator", recipe.calibrator, ("minmax", "percentile", "entropy")),
    ):
        if value not in known:
            raise BadInput(f"{where} has {name} {value!r}; they are {', '.join(known)}.")
    for parts in (recipe.parts, recipe.text_parts or recipe.parts):
        unknown = sorted(set(parts) - set(PARTS))
        if unknown or not parts:
            raise BadInput(f"{where} has parts {unknown or 'none'}; they are {', '.join(PARTS)}.")
    if recipe.smoothing is not None and not 0 <= recipe.smoothing <= 1:
        raise BadInput(f"{where} has smoothing {recipe.smoothing}; it lies from 0 to 1.")
    if not 50 < recipe.percentile <= 100:
        raise BadInput(f"{where} has percentile {recipe.percentile}; it lies above 50, up to 100.")
    if recipe.search is not None:
        if not 0 < recipe.search.floor <= 1:
            raise BadInput(f"{where} has a floor of {recipe.search.floor}; it is a share up to 1.")
        if recipe.search.trials < 1:
            raise BadInput(f"{where} has {recipe.search.trials} trials; it needs one.")


def find_recipes(names: Sequence[str], known: dict[str, Recipe]) -> list[Recipe]:
    """The recipes `names`, each once, in the order of `known`. Raises BadInput for an unknown one,
    naming those that there are."""
    for name in names:
        if name not in known:
            raise BadInput(
                f"Unknown variant {name[:40]!r}; rsq builds {', '.join(known)}. "
                "See `rsq-server recipes`."
            )
    return [recipe for name, recipe in known.items() if name in names]


DEFAULT_VARIANTS = ("fp32", "fp16", "int8", "int8-mixed")

# By variant, in the order in which they are built and shown.
RECIPES: dict[str, Recipe] = {
    recipe.variant: recipe
    for recipe in (
        Recipe("fp32", "the exported tower as it is", _FLOAT_PROVIDERS, "float"),
        Recipe(
            "fp16", "weights and arithmetic in half precision, for GPUs", _FLOAT_PROVIDERS, "half"
        ),
        Recipe(
            "int8",
            "all linear layers and text embeddings, a scale for each token, SmoothQuant, GPTQ",
            # CUDA has no kernel for uint8 x int8 and would fall back to the CPU.
            (CPU_PROVIDER,),
            "token",
        ),
        Recipe(
            "int8-mixed",
            "as int8, with the layers at higher precision that a search finds the floor needs",
            (CPU_PROVIDER,),
            "token",
            smoothing=None,
            embeddings="half",
            search=Search(),
        ),
        Recipe(
            "int8-wide",
            "as int8, with activations of sixteen bits as two INT8 products",
            (CPU_PROVIDER,),
            "wide",
            smoothing=None,
            embeddings="half",
        ),
        Recipe(
            "int8-ffn",
            "the MLPs only, a scale for each token",
            (CPU_PROVIDER,),
            "token",
            parts=("ffn",),
            smoothing=None,
            embeddings="half",
        ),
        Recipe(
            "int8-conv",
            "as int8, and the patch convolution",
            (CPU_PROVIDER,),
            "token",
            parts=PARTS,
        ),
        Recipe(
            "int8-edges",
            "patch convolution and projection head of the vision tower, MLPs of the text tower",
            (CPU_PROVIDER,),
            "token",
            parts=("convolution", "head"),
            text_parts=("ffn",),
            smoothing=None,
        ),
        Recipe(
            "int8-last",
            "as int8, with the last block in FP32",
            (CPU_PROVIDER,),
            "token",
            float_blocks=(LAST,),
        ),
        Recipe(
            "int8-tuned",
            "as int8, with a projection that learns to give FP32's embeddings back",
            (CPU_PROVIDER,),
            "token",
            tune_projection=True,
        ),
        Recipe(
            "int8-nearest",
            "as int8, without SmoothQuant and with weights rounded to the nearest",
            (CPU_PROVIDER,),
            "token",
            weights="nearest",
            smoothing=None,
        ),
        Recipe(
            "int8-static",
            "as int8, with constant scales: the fastest, calibrated by least and greatest value",
            (CPU_PROVIDER,),
            "static",
        ),
        Recipe(
            "int8-static-percentile",
            "as int8-static, calibrated by percentile",
            (CPU_PROVIDER,),
            "static",
            calibrator="percentile",
        ),
        Recipe(
            "int8-static-entropy",
            "as int8-static, calibrated by entropy",
            (CPU_PROVIDER,),
            "static",
            calibrator="entropy",
        ),
        Recipe(
            "int8-static-s8",
            "symmetric QDQ with constant scales, for TensorRT and OpenVINO",
            (TENSORRT_PROVIDER, OPENVINO_PROVIDER),
            "static-s8",
        ),
        Recipe(
            "int8-torch",
            "torchao's INT8 as an exported program, for nodes with torch and a GPU",
            (TORCH_CUDA,),
            "torch",
        ),
        Recipe(
            "int8-stock",
            "ONNX Runtime's quantize_dynamic, one scale for a whole batch, for comparison",
            (CPU_PROVIDER,),
            "stock",
        ),
    )
}
