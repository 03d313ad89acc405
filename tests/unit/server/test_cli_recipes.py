"""`rsq-server recipes`, and what `--variants` accepts."""

from __future__ import annotations

from pathlib import Path

import pytest
from server_command import run_server_command

from rsq.errors import BadInput
from rsq_server.cli.recipes import choose_recipes
from rsq_server.recipes import DEFAULT_VARIANTS, RECIPES

OWN = """
[int8-gentle]
base = "int8"
smoothing = 0.25
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    return path


def test_every_recipe_is_listed_with_the_options_that_it_takes() -> None:
    rows = run_server_command("recipes", "--json").json()["recipes"]
    assert [row["variant"] for row in rows] == list(RECIPES)
    assert {row["variant"] for row in rows if row["default"]} == set(DEFAULT_VARIANTS)
    options = {row["variant"]: row["options"] for row in rows}
    assert options["fp32"] == []
    assert "calibrator" in options["int8-static"]
    assert "calibrator" not in options["int8"]


def test_the_table_names_every_variant(own: Path) -> None:
    out = run_server_command("recipes", str(own)).out
    assert all(variant in out for variant in (*RECIPES, "int8-gentle"))


def test_a_file_that_is_none_is_refused_in_a_sentence(tmp_path: Path) -> None:
    result = run_server_command("recipes", str(tmp_path / "none.toml"))
    assert (result.code, result.out) == (2, "")
    assert "none.toml can't be read" in result.err


def test_names_and_files_are_chosen_together_in_the_order_of_building(own: Path) -> None:
    chosen = choose_recipes(f"{own}, int8 ,fp32,int8")
    assert [recipe.variant for recipe in chosen] == ["fp32", "int8", "int8-gentle"]
    assert chosen[2].smoothing == 0.25


def test_all_is_every_recipe() -> None:
    assert [recipe.variant for recipe in choose_recipes("all")] == list(RECIPES)


@pytest.mark.parametrize("variants", ["", " , ", "int3", "fp32,int3", "ALL", "fp32 int8"])
def test_what_is_no_recipe_is_refused_naming_those_that_are(variants: str) -> None:
    with pytest.raises(BadInput, match="rsq builds fp32, fp16, int8"):
        choose_recipes(variants)
