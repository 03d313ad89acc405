"""Recipes of a user's own, in TOML:

[int8-gentle]            # the variant
base = "int8"            # what it starts from
smoothing = 0.3          # what it changes
float_blocks = ["last"]
search = { floor = 0.98, trials = 8 }
"""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

from rsq.errors import BadInput
from rsq_server.recipes import OPTIONS, RECIPES, Recipe, Search, check_recipe

MAX_FILE_BYTES = 1 << 20
MAX_RECIPES = 64
_LISTS = frozenset({"parts", "text_parts", "float_blocks"})
_NUMBERS = frozenset({"smoothing", "percentile"})


def read_recipes(path: Path) -> dict[str, Recipe]:
    """The recipes of the file, by variant, in its order.

    Raises BadInput for a file that can't be read, is no TOML, or has an option that its recipe
    doesn't know or a value that it can't take, naming both.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise BadInput(f"{path} has over {MAX_FILE_BYTES} bytes.")
        tables = tomllib.loads(data.decode())
    except OSError as e:
        raise BadInput(f"{path} can't be read: {e.strerror}.") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as e:
        raise BadInput(f"{path} is not TOML: {e}.") from e
    if not 1 <= len(tables) <= MAX_RECIPES:
        raise BadInput(f"{path} has {len(tables)} recipes; it may have 1 to {MAX_RECIPES}.")
    recipes: dict[str, Recipe] = {}
    for variant, options in tables.items():
        recipes[variant] = _build(variant, options, {**RECIPES, **recipes}, path)
    return recipes


def _build(variant: str, options: Any, known: dict[str, Recipe], path: Path) -> Recipe:
    where = f"{path}, recipe {variant[:40]!r}"
    if not isinstance(options, dict):
        raise BadInput(f"{where} is not a table.")
    if variant in RECIPES:
        raise BadInput(f"{where} has the name of one of rsq's own; choose another.")
    base = options.get("base")
    if not isinstance(base, str) or base not in known:
        raise BadInput(f"{where} needs a base, one of {', '.join(known)}.")
    allowed = OPTIONS[known[base].activations] | {"description"}
    changes: dict[str, Any] = {}
    for name, value in options.items():
        if name == "base":
            continue
        if name not in allowed:
            offered = ", ".join(sorted(allowed))
            raise BadInput(f"{where} has the option {name[:40]!r}; {base} takes {offered}.")
        changes[name] = _read_value(name, value, where)
    description = changes.pop("description", f"as {base}, changed by {path.name}")
    recipe = dataclasses.replace(known[base], variant=variant, description=description, **changes)
    check_recipe(recipe)
    return recipe


def _read_value(name: str, value: Any, where: str) -> Any:
    if name == "search":
        return _read_search(value, where)
    if name in _LISTS:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise BadInput(f"{where} has in {name!r} something else than a list of texts.")
    if name in _NUMBERS:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if name == "smoothing" and value == "none":
            return None
        raise BadInput(f"{where} has in {name!r} something else than a number.")
    expected = bool if name == "tune_projection" else str
    if not isinstance(value, expected):
        raise BadInput(f"{where} has in {name!r} something else than a {expected.__name__}.")
    return value


def _read_search(value: Any, where: str) -> Search:
    kinds = {"floor": (int, float), "trials": (int,), "seed": (int,)}
    if not isinstance(value, dict) or not set(value) <= set(kinds):
        raise BadInput(f"{where} has in 'search' something else than floor, trials and seed.")
    for name, number in value.items():
        if not isinstance(number, kinds[name]) or isinstance(number, bool):
            raise BadInput(f"{where} has in search {name!r} something else than a number.")
    return Search(**value)
