"""Every recipe on tiny SigLIP and CLIP towers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from exported_towers import FAMILIES, ExportedPair, export_pair
from tiny_checkpoints import SIZE

from rsq.errors import GateRefused, InternalError
from rsq.manifest import TOWERS, Tower
from rsq.similarity import row_cosines
from rsq_server.build.calibration_rows import embed_tower
from rsq_server.build.external_data import open_model
from rsq_server.build.linears import find_sites
from rsq_server.build.tower_builder import BuiltVariant, TowerBuilder
from rsq_server.recipes import RECIPES, Recipe, Search

# torch programs are exported from the modules, not from the graph.
BUILT = [name for name, recipe in RECIPES.items() if recipe.activations != "torch"]
# The other calibrators make int8-static's graph with other numbers.
INTEGER = [
    name
    for name in BUILT
    if RECIPES[name].activations not in ("float", "half") and RECIPES[name].calibrator == "minmax"
]
# On random towers neighbours lie so close that any rounding exchanges some.
LENIENT = Search(floor=0.8)
# Entropy clips the uniform noise that these towers see, as it clips the tails of real images.
FLOORS = {"int8-static-entropy": 0.8}


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ExportedPair:
    return export_pair(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def builders(pair: ExportedPair) -> dict[Tower, TowerBuilder]:
    return {tower: make_builder(pair, tower) for tower in TOWERS}


def make_builder(pair: ExportedPair, tower: Tower, *, calibrated: bool = True) -> TowerBuilder:
    return TowerBuilder(
        tower,
        pair.folders[tower],
        image_size=(SIZE, SIZE),
        calibration=pair.calibration(tower) if calibrated else None,
        journal_folder=None,
    )


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


@pytest.mark.parametrize("variant", BUILT)
def test_each_recipe_builds_both_towers_and_they_stay_close_to_fp32(
    pair: ExportedPair, builders: dict[Tower, TowerBuilder], tmp_path: Path, variant: str
) -> None:
    for tower in TOWERS:
        folder = tmp_path / f"{tower}-{variant}"
        recipe = RECIPES[variant]
        if recipe.search is not None:
            recipe = dataclasses.replace(recipe, search=LENIENT)
        built = builders[tower].build(recipe, folder)
        assert built.spec.providers == recipe.providers
        rows = embed_tower(folder, tower, pair.inputs[tower])
        assert row_cosines(rows, pair.vectors[tower]).min() > FLOORS.get(variant, 0.99)
        if variant != "fp32":
            assert size_of(folder) < size_of(pair.folders[tower])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{tower}-{variant}" for tower in ("text", "vision")
    ]


@pytest.mark.parametrize("variant", INTEGER)
def test_with_the_weights_that_a_cpu_without_vnni_needs_the_vectors_are_the_same(
    pair: ExportedPair,
    builders: dict[Tower, TowerBuilder],
    tmp_path: Path,
    variant: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = RECIPES[variant]
    if recipe.search is not None:
        recipe = dataclasses.replace(recipe, search=LENIENT)
    for tower in TOWERS:
        builders[tower].build(recipe, tmp_path / tower)
    rows = [embed_tower(tmp_path / tower, tower, pair.inputs[tower]) for tower in TOWERS]
    monkeypatch.setattr("rsq.onnx_session.adds_exactly", lambda runtime: False)
    for tower, expected in zip(TOWERS, rows, strict=True):
        converted = embed_tower(tmp_path / tower, tower, pair.inputs[tower])
        np.testing.assert_array_equal(converted, expected)


@pytest.mark.parametrize(
    "variant", ["int8", "int8-static", "int8-static-s8", "int8-conv", "int8-tuned"]
)
def test_the_same_tower_and_calibration_give_the_same_bytes(
    pair: ExportedPair, tmp_path: Path, variant: str
) -> None:
    for name in ("first", "second"):
        make_builder(pair, "vision").build(RECIPES[variant], tmp_path / name)
    for file in (tmp_path / "first").iterdir():
        assert file.read_bytes() == (tmp_path / "second" / file.name).read_bytes()


def build_vision(pair: ExportedPair, folder: Path, recipe: Recipe) -> tuple[BuiltVariant, ir.Graph]:
    built = make_builder(pair, "vision").build(recipe, folder)
    return built, open_model(folder).graph


def test_parts_that_a_recipe_does_not_name_stay_as_they_are(
    pair: ExportedPair, tmp_path: Path
) -> None:
    _, graph = build_vision(pair, tmp_path / "ffn", RECIPES["int8-ffn"])
    assert {site.part for site in find_sites(graph)} == {"attention", "head"}


def test_the_last_block_can_stay_in_fp32(pair: ExportedPair, tmp_path: Path) -> None:
    _, graph = build_vision(pair, tmp_path / "last", RECIPES["int8-last"])
    assert {site.block for site in find_sites(graph)} == {"block 1"}


def test_the_patch_convolution_becomes_int8_where_it_is_asked_for(
    pair: ExportedPair, tmp_path: Path
) -> None:
    _, graph = build_vision(pair, tmp_path / "conv", RECIPES["int8-conv"])
    assert "Conv" not in {node.op_type for node in graph}
    assert not find_sites(graph)
    _, graph = build_vision(pair, tmp_path / "int8", RECIPES["int8"])
    assert "Conv" in {node.op_type for node in graph}


@pytest.mark.parametrize("tower", TOWERS)
def test_what_tensorrt_and_openvino_get_is_standard_and_symmetric(
    pair: ExportedPair, tmp_path: Path, tower: Tower
) -> None:
    make_builder(pair, tower).build(RECIPES["int8-static-s8"], tmp_path / "s8")
    graph = open_model(tmp_path / "s8").graph
    assert {node.domain for node in graph} == {""}
    assert "Attention" not in {node.op_type for node in graph}  # which OpenVINO can't read
    kinds = {
        value.const_value.dtype
        for node in graph
        if node.op_type == "QuantizeLinear"
        for value in node.inputs[2:]
        if value is not None and value.const_value is not None
    }
    assert kinds == {ir.DataType.INT8}
    assert not np.asarray(graph.initializers["zero_point_s8"].const_value).any()


def test_a_search_says_what_it_raised_and_leaves_nothing_behind(
    pair: ExportedPair, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(RECIPES["int8-mixed"], search=LENIENT)
    built, graph = build_vision(pair, tmp_path / "mixed", recipe)
    assert built.search is not None
    raised = {n: level for n, level in built.search.assignment.items() if level != "token"}
    assert built.spec.parameters["raised"] == raised
    left = {
        f"{site.block} {site.name.removesuffix('.weight').rsplit('layers.', 1)[-1][2:]}"
        for site in find_sites(graph)
        if site.block != "head"
    }
    assert left <= raised.keys()
    assert [path.name for path in tmp_path.iterdir()] == ["mixed"]


def test_a_floor_that_nothing_meets_is_refused_and_leaves_nothing_behind(
    pair: ExportedPair, tmp_path: Path
) -> None:
    impossible = Recipe(
        "int8-ideal", "", ("CPU",), "token", smoothing=None, search=Search(floor=1.0, trials=1)
    )
    with pytest.raises(GateRefused, match="No assignment cheaper than FP32"):
        build_vision(pair, tmp_path / "mixed", impossible)
    assert not list(tmp_path.iterdir())


def test_a_recipe_that_changes_nothing_in_a_tower_is_refused(
    pair: ExportedPair, tmp_path: Path
) -> None:
    recipe = Recipe(
        "int8-none", "", ("CPU",), "token", text_parts=("convolution",), embeddings="float"
    )
    with pytest.raises(GateRefused, match="int8-none changes nothing in the text tower"):
        make_builder(pair, "text").build(recipe, tmp_path / "none")


def test_what_calibrates_needs_a_calibration(pair: ExportedPair, tmp_path: Path) -> None:
    builder = make_builder(pair, "vision", calibrated=False)
    builder.build(RECIPES["int8-nearest"], tmp_path / "nearest")
    with pytest.raises(InternalError, match="int8 needs a calibration set"):
        builder.build(RECIPES["int8"], tmp_path / "int8")
