from __future__ import annotations

import dataclasses

import pytest

from rsq.errors import BadInput
from rsq.manifest import canonical_json
from rsq_server.recipes import DEFAULT_VARIANTS, OPTIONS, RECIPES, check_recipe, find_recipes


@pytest.mark.parametrize("variant", RECIPES)
def test_rsqs_own_recipes_are_sound(variant: str) -> None:
    recipe = RECIPES[variant]
    check_recipe(recipe)
    assert recipe.variant == variant
    assert recipe.providers


@pytest.mark.parametrize("variant", RECIPES)
def test_a_manifest_says_only_what_means_something_for_the_recipe(variant: str) -> None:
    recipe = RECIPES[variant]
    for tower in ("vision", "text"):
        spec = recipe.to_spec(tower)  # type: ignore[arg-type]
        assert spec.name == recipe.activations
        assert set(spec.parameters) <= OPTIONS[recipe.activations]
        canonical_json(spec.parameters)
    assert "embeddings" not in recipe.to_spec("vision").parameters


def test_two_recipes_never_say_the_same() -> None:
    said = [
        (recipe.providers, recipe.to_spec("vision").parameters, recipe.to_spec("text").parameters)
        for recipe in RECIPES.values()
        if OPTIONS[recipe.activations]
    ]
    assert all(said.count(one) == 1 for one in said)


def test_only_one_scale_for_a_whole_batch_makes_vectors_depend_on_it() -> None:
    assert [v for v, recipe in RECIPES.items() if not recipe.batch_invariant] == ["int8-stock"]


def test_what_looks_at_images_says_so() -> None:
    free = {variant for variant, recipe in RECIPES.items() if not recipe.calibrates}
    assert free == {"fp32", "fp16", "int8-nearest", "int8-stock", "int8-torch"}


def test_a_text_tower_can_have_parts_of_its_own() -> None:
    recipe = RECIPES["int8-edges"]
    assert recipe.parts_of("vision") == ("convolution", "head")
    assert recipe.parts_of("text") == ("ffn",)


def test_recipes_are_found_once_and_in_the_order_of_building() -> None:
    found = find_recipes(["int8", "fp32", "int8"], RECIPES)
    assert [recipe.variant for recipe in found] == ["fp32", "int8"]
    assert [r.variant for r in find_recipes(DEFAULT_VARIANTS, RECIPES)] == list(DEFAULT_VARIANTS)


def test_an_unknown_variant_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(BadInput, match="Unknown variant 'int3'; rsq builds fp32, fp16, int8"):
        find_recipes(["fp32", "int3"], RECIPES)


@pytest.mark.parametrize("name", ["", "INT8", "-int8", "a b", "../int8", "x" * 64])
def test_names_that_could_not_be_a_variant_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match="needs a name"):
        check_recipe(dataclasses.replace(RECIPES["int8"], variant=name))
