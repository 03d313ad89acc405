from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from exported_towers import FAMILIES, ExportedPair, export_pair
from numpy.typing import NDArray

from rsq.encoder import INPUT_NAMES
from rsq.manifest import TOWERS, Tower
from rsq.onnx_session import TowerSession, session_options
from rsq.providers import CPU_PROVIDER
from rsq.similarity import row_cosines
from rsq_server.build.calibration_rows import embed_tower
from rsq_server.build.external_data import GRAPH_NAME, WEIGHTS_NAME, open_model, save_model
from rsq_server.build.integer import (
    ACTIVATION_LOW,
    Lookups,
    Mode,
    SitePlan,
    TensorScale,
    quantize_graph,
)
from rsq_server.build.linears import find_sites

Build = Callable[..., Path]
MODES: tuple[Mode, ...] = ("token", "wide")


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ExportedPair:
    return export_pair(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def build(pair: ExportedPair, tmp_path: Path) -> Build:
    def run(tower: Tower, plan: SitePlan, name: str = "out", lookups: Lookups = "int8") -> Path:
        model = open_model(pair.folders[tower])
        plans = {site.name: plan for site in find_sites(model.graph)}
        quantize_graph(model, plans, lookups=lookups)
        save_model(model, tmp_path / name)
        return tmp_path / name

    return run


@pytest.mark.parametrize("tower", TOWERS)
@pytest.mark.parametrize("mode", MODES)
def test_vectors_stay_close_to_fp32_and_alone_equals_any_batch(
    pair: ExportedPair, build: Build, tower: Tower, mode: Mode
) -> None:
    folder = build(tower, SitePlan(mode))
    alone = embed_tower(folder, tower, pair.inputs[tower])
    assert row_cosines(alone, pair.vectors[tower]).min() > 0.995
    session = TowerSession(
        folder / GRAPH_NAME, input_name=INPUT_NAMES[tower], provider=CPU_PROVIDER, threads=1
    )
    loud = pair.inputs[tower].copy()
    if tower == "vision":
        loud[1:] *= 50
    together = session.embed(loud)
    np.testing.assert_allclose(together[0], alone[0], atol=1e-6)
    np.testing.assert_allclose(session.embed(pair.inputs[tower]), alone, atol=1e-6)


@pytest.mark.parametrize("tower", TOWERS)
def test_two_products_are_far_closer_than_one(
    pair: ExportedPair, build: Build, tower: Tower
) -> None:
    """With weights that are exact in INT8, only the activations' error is left."""
    errors = {}
    for mode in MODES:
        folder = _build_exact(pair, tower, mode, build)
        exact = embed_tower(folder / "fp32", tower, pair.inputs[tower])
        rows = embed_tower(folder / "int8", tower, pair.inputs[tower])
        errors[mode] = float(1 - row_cosines(exact, rows).mean(dtype=np.float64))
    assert errors["wide"] < errors["token"] / 100


def _build_exact(pair: ExportedPair, tower: Tower, mode: Mode, build: Build) -> Path:
    model = open_model(pair.folders[tower])
    for site in find_sites(model.graph):
        for linear in site.linears:
            array = linear.weight.const_value
            assert array is not None
            values = np.asarray(array.numpy(), np.float32)
            axis = 1 if linear.node.op_type == "Gemm" and "transB" in linear.node.attributes else 0
            scales = np.abs(values).max(axis=axis, keepdims=True) / 127
            rounded = (np.rint(values / scales) * scales).astype(np.float32)
            linear.weight.const_value = ir.Tensor(rounded, name=linear.name)
    out = build(tower, SitePlan("token"), f"unused-{mode}").with_name(f"exact-{mode}")
    save_model(model, out / "fp32")
    model = open_model(out / "fp32")
    plans = {site.name: SitePlan(mode) for site in find_sites(model.graph)}
    quantize_graph(model, plans, lookups="float")
    save_model(model, out / "int8")
    return out


@pytest.mark.parametrize("mode", MODES)
def test_each_product_has_a_weight_and_a_zero_point_of_its_own_and_the_file_one_copy(
    build: Build, mode: Mode
) -> None:
    folder = build("vision", SitePlan(mode), mode)
    graph = open_model(folder).graph
    products = [node for node in graph if node.op_type == "MatMulIntegerToFloat"]
    for index in (1, 5):
        names = [node.inputs[index].name for node in products if node.inputs[index] is not None]
        assert len(set(names)) == len(products)
    once = build("vision", SitePlan("token"), "once")
    assert (folder / WEIGHTS_NAME).stat().st_size == (once / WEIGHTS_NAME).stat().st_size


def test_only_the_planned_sites_change(pair: ExportedPair, tmp_path: Path) -> None:
    model = open_model(pair.folders["vision"])
    sites = find_sites(model.graph)
    planned = {s.name: SitePlan("token") for s in sites if s.part == "ffn"}
    quantize_graph(model, planned)
    left = {site.name for site in find_sites(model.graph)}
    assert left == {site.name for site in sites} - set(planned)


@pytest.mark.parametrize(
    ("lookups", "kind"),
    [("int8", ir.DataType.INT8), ("half", ir.DataType.FLOAT16), ("float", ir.DataType.FLOAT)],
)
def test_the_embedding_table_is_stored_as_asked(
    pair: ExportedPair, build: Build, lookups: Lookups, kind: ir.DataType
) -> None:
    folder = build("text", SitePlan("token"), lookups=lookups)
    tables = [
        value.const_value.dtype
        for value in open_model(folder).graph.initializers.values()
        if value.const_value is not None and "token_embedding" in str(value.name)
        if len(value.const_value.shape) == 2 and int(value.const_value.shape[1]) > 1
    ]
    assert tables == [kind]
    rows = embed_tower(folder, "text", pair.inputs["text"])
    assert row_cosines(rows, pair.vectors["text"]).min() > 0.995


def make_layer(
    weight: NDArray[np.float32], bias: NDArray[np.float32] | None, *, after: str = ""
) -> ir.Model:
    """x, an optional operator `after`, and a MatMul with its bias."""
    operator = f"h = {after} (x)" if after else "h = Identity (x)"
    add = "embedding = Add (y, bias)" if bias is not None else "embedding = Identity (y)"
    model = ir.from_onnx_text(
        f"""<ir_version: 10, opset_import: ["" : 23]>
        layer (float[n, {len(weight)}] x) => (float[n, {weight.shape[1]}] embedding)
        {{ {operator}  y = MatMul (h, w)  {add} }}"""
    )
    tensors = {"w": weight, **({} if bias is None else {"bias": bias})}
    for name, array in tensors.items():
        value = ir.val(name, dtype=ir.DataType.FLOAT, shape=array.shape)
        value.const_value = ir.Tensor(array, name=name)
        known = next(v for node in model.graph for v in node.inputs if v and v.name == name)
        known.replace_all_uses_with(value)
        model.graph.register_initializer(value)
    return model


def run_layer(model: ir.Model, folder: Path, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    import onnxruntime as ort

    save_model(model, folder)
    options = session_options(1)
    session = ort.InferenceSession(str(folder / GRAPH_NAME), options, providers=[CPU_PROVIDER])
    (found,) = session.run(None, {"x": rows})
    return np.asarray(found, np.float32)


@pytest.fixture(scope="module")
def layer() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Weight, bias and rows."""
    random = np.random.default_rng(0)
    weight = random.normal(size=(32, 12)).astype(np.float32)
    return weight, random.normal(size=12).astype(np.float32), _rows(random)


def _rows(random: np.random.Generator) -> NDArray[np.float32]:
    rows = random.normal(size=(6, 32)) * np.array([[1], [100], [1e-3], [0], [5], [1]])
    return rows.astype(np.float32)


def _int8(weight: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    scales = np.abs(weight).max(axis=0) / 127
    return np.rint(weight / scales).astype(np.float32), scales.astype(np.float32)


@pytest.mark.parametrize("with_bias", [True, False])
def test_a_layer_computes_the_documented_formula(
    layer: tuple[NDArray[np.float32], ...], tmp_path: Path, with_bias: bool
) -> None:
    weight, bias, rows = layer
    model = make_layer(weight, bias if with_bias else None)
    (site,) = find_sites(model.graph)
    quantize_graph(model, {site.name: SitePlan("token")})
    found = run_layer(model, tmp_path / "layer", rows)
    scales = np.maximum(np.abs(rows).max(axis=1, keepdims=True) / 127, 1e-30)
    values, columns = _int8(weight)
    expected = np.rint(rows / scales) @ values * scales * columns + (bias if with_bias else 0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_an_activation_function_uses_all_levels_and_loses_nothing_to_its_shift(
    layer: tuple[NDArray[np.float32], ...], tmp_path: Path
) -> None:
    weight, bias, rows = layer
    model = make_layer(weight, bias, after="Gelu")
    (site,) = find_sites(model.graph)
    assert site.source == "activation"
    quantize_graph(model, {site.name: SitePlan("token")})
    found = run_layer(model, tmp_path / "layer", rows)
    hidden = rows * 0.5 * (1 + np.vectorize(math.erf)(rows / np.sqrt(2)))
    assert hidden.min() > ACTIVATION_LOW
    shifted = hidden - ACTIVATION_LOW
    scales = shifted.max(axis=1, keepdims=True) / 255
    values, columns = _int8(weight)
    restored = np.rint(shifted / scales) * scales + ACTIVATION_LOW
    expected = restored @ (values * columns) + bias
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_constant_scales_clip_what_lies_beyond_them(
    layer: tuple[NDArray[np.float32], ...], tmp_path: Path
) -> None:
    weight, bias, rows = layer
    model = make_layer(weight, bias)
    (site,) = find_sites(model.graph)
    scale = TensorScale(step=0.05, zero_point=100)
    quantize_graph(model, {site.name: SitePlan("tensor", scale)})
    found = run_layer(model, tmp_path / "layer", rows)
    steps = np.clip(np.rint(rows / 0.05) + 100, 0, 255) - 100
    values, columns = _int8(weight)
    expected = steps * 0.05 @ (values * columns) + bias
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
