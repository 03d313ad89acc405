"""`rsq-server recipes`, and the variants that publish is asked for."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rsq.errors import BadInput
from rsq_server.cli.options import Json
from rsq_server.cli.output import print_json, print_table
from rsq_server.recipe_file import read_recipes
from rsq_server.recipes import (
    DEFAULT_VARIANTS,
    OPTIONS,
    RECIPES,
    Recipe,
    check_recipe,
    find_recipes,
)

EPILOG = """Examples:

rsq-server recipes

rsq-server recipes my-recipes.toml --json

A file of your own has a table for each recipe, which starts from another one:

[int8-gentle]
base = "int8"
smoothing = 0.3
float_blocks = ["last"]"""

ALL = "all"
_SUFFIX = ".toml"


def recipes(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="TOML files whose recipes are listed too."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the recipes that `publish --variants` builds, with their options."""
    found = dict(RECIPES)
    for file in files or []:
        found |= read_recipes(file)
    if as_json:
        rows = [
            {
                **asdict(recipe),
                "default": recipe.variant in DEFAULT_VARIANTS,
                "options": sorted(OPTIONS[recipe.activations]),
            }
            for recipe in found.values()
        ]
        print_json({"recipes": rows})
        return
    print_table(
        [
            {
                "variant": recipe.variant,
                "default": "yes" if recipe.variant in DEFAULT_VARIANTS else "",
                "for": ", ".join(_short(provider) for provider in recipe.providers),
                "what it does": recipe.description,
            }
            for recipe in found.values()
        ]
    )


def choose_recipes(variants: str) -> list[Recipe]:
    """What `--variants` names: recipes of rsq's, all of them, or those of TOML files.

    Raises BadInput for an unknown name and as `read_recipes` does.
    """
    items = [item.strip() for item in variants.split(",") if item.strip()]
    if not items:
        raise BadInput(f"No variants were asked for; rsq builds {', '.join(RECIPES)}.")
    known = dict(RECIPES)
    names: list[str] = []
    for item in items:
        if item.endswith(_SUFFIX):
            own = read_recipes(Path(item))
            known |= own
            names += own
        else:
            names += RECIPES if item == ALL else [item]
    chosen = find_recipes(names, known)
    for recipe in chosen:
        check_recipe(recipe)
    return chosen


def _short(provider: str) -> str:
    return provider.removesuffix("ExecutionProvider")
