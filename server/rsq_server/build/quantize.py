"""Step 5 of publish: from an exported FP32 tower to its variants."""

from __future__ import annotations

import shutil
from pathlib import Path

from rsq.errors import BadInput
from rsq.manifest import RecipeSpec, Tower
from rsq_server.build.external_data import open_model, save_model
from rsq_server.build.recipes import RECIPES, Recipe

# What each variant is, in a line.
VARIANTS: dict[str, str] = {name: recipe.description for name, recipe in RECIPES.items()}


def build_variant(variant: str, fp32_folder: Path, out_folder: Path, tower: Tower) -> RecipeSpec:
    """Writes `variant` of the tower that `export_tower` put in `fp32_folder` to a new `out_folder`,
    and returns what its manifest says of the recipe.

    Raises BadInput for an unknown variant, GateRefused for a tower that the recipe can't express.
    """
    recipe = _find(variant)
    if recipe.rewrite is None:
        _copy_files(fp32_folder, out_folder)
    else:
        model = open_model(fp32_folder)
        recipe.rewrite(model)
        save_model(model, out_folder)
    return recipe.to_spec(tower)


def batch_invariant(variant: str) -> bool:
    """Whether the variant's vectors are the same alone and in any batch. Raises BadInput for an
    unknown variant."""
    return _find(variant).batch_invariant


def _find(variant: str) -> Recipe:
    try:
        return RECIPES[variant]
    except KeyError as e:
        known = ", ".join(RECIPES)
        raise BadInput(f"Unknown variant {variant[:40]!r}; rsq builds {known}.") from e


def _copy_files(source: Path, target: Path) -> None:
    # Copies: onnx refuses to open external data that has a second hard link.
    target.mkdir(parents=True)
    for file in source.iterdir():
        shutil.copyfile(file, target / file.name)
