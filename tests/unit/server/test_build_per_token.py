from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from rsq.encoder import TowerSession
from rsq_server.build.external_data import GRAPH_NAME, save_model
from rsq_server.build.per_token import quantize_columns, quantize_per_token

WIDTH = 64
TOKENS = 5


@given(
    arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False),
    )
)
def test_columns_are_restored_to_half_a_step(weight: NDArray[np.float32]) -> None:
    values, scales = quantize_columns(weight)
    assert values.dtype == np.int8
    assert scales.shape == weight.shape[1:]
    assert values.min() >= -127
    error = np.abs(values * scales.astype(np.float64) - weight)
    assert (error <= scales * 0.5001 + 1e-30).all()


def test_one_loud_column_costs_the_others_nothing() -> None:
    weight = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    loud = weight * np.array([1, 1000, 1], np.float32)
    values, scales = quantize_columns(loud)
    quiet_values, quiet_scales = quantize_columns(weight)
    np.testing.assert_array_equal(values, quiet_values)
    np.testing.assert_allclose(scales, quiet_scales * [1, 1000, 1], rtol=1e-6)


def make_tower(text: str, tensors: dict[str, NDArray[np.float32]]) -> ir.Model:
    """The model in ONNX's text form, with its initializers filled in."""
    model = ir.from_onnx_text(text)
    for name, array in tensors.items():
        value = ir.val(name, dtype=ir.DataType.FLOAT, shape=array.shape)
        value.const_value = ir.Tensor(array, name=name)
        known = next(v for node in model.graph for v in node.inputs if v and v.name == name)
        known.replace_all_uses_with(value)
        model.graph.register_initializer(value)
    return model


def make_attention_block() -> ir.Model:
    """Three linear layers on one input, a fourth on their sum, and a transposed Gemm."""
    random = np.random.default_rng(0)
    names = ("wq", "wk", "wv", "wo")
    tensors = {name: random.normal(0, 0.1, (WIDTH, WIDTH)).astype(np.float32) for name in names}
    tensors["head"] = random.normal(0, 0.1, (16, WIDTH)).astype(np.float32)
    tensors["bias"] = random.normal(0, 0.1, 16).astype(np.float32)
    text = f"""<ir_version: 10, opset_import: ["" : 23]>
        tower (float[batch, {TOKENS}, {WIDTH}] pixel_values) => (float[batch, 16] embedding) {{
            q = MatMul(pixel_values, wq)
            k = MatMul(pixel_values, wk)
            v = MatMul(pixel_values, wv)
            qk = Add(q, k)
            sum = Add(qk, v)
            out = MatMul(sum, wo)
            index = Constant <value_int = 2> ()
            token = Gather <axis = 1> (out, index)
            embedding = Gemm <transB = 1> (token, head, bias)
        }}"""
    return make_tower(text, tensors)


def open_session(model: ir.Model, folder: Path, input_name: str = "pixel_values") -> TowerSession:
    save_model(model, folder)
    return TowerSession(
        folder / GRAPH_NAME, input_name=input_name, provider="CPUExecutionProvider", threads=1
    )


def make_rows(count: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(1).normal(size=(count, TOKENS, WIDTH)).astype(np.float32)
    rows[:, :, 3] *= 30  # an outlier channel
    rows[0] *= 50  # and an outlier item
    return rows


def test_result_is_close_to_fp32_and_independent_of_the_batch(tmp_path: Path) -> None:
    exact = open_session(make_attention_block(), tmp_path / "fp32")
    model = make_attention_block()
    quantize_per_token(model)
    session = open_session(model, tmp_path / "int8")
    rows = make_rows(9)
    together = session.embed(rows)
    assert ((together * exact.embed(rows)).sum(axis=1) > 0.999).all()
    alone = np.concatenate([session.embed(row[None]) for row in rows])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)


def test_all_zero_and_tiny_tokens_give_finite_results(tmp_path: Path) -> None:
    model = make_attention_block()
    quantize_per_token(model)
    session = open_session(model, tmp_path / "int8")
    rows = make_rows(2)
    rows[0, 2] = 0
    rows[1, 2] = 1e-38
    result = session.embed(rows)  # refuses NaN itself
    # Only the bias is left of either.
    np.testing.assert_allclose(result[0], result[1], atol=1e-6)


def test_every_linear_layer_is_int8_and_shares_its_input(tmp_path: Path) -> None:
    model = make_attention_block()
    quantize_per_token(model)
    kinds = [node.op_type for node in model.graph]
    assert "MatMul" not in kinds
    assert "Gemm" not in kinds
    assert kinds.count("MatMulInteger") == 5
    assert kinds.count("QuantizeLinear") == 3
    save_model(model, tmp_path / "out")
    floats = [
        name
        for name, value in model.graph.initializers.items()
        if value.const_value is not None
        and value.const_value.dtype == ir.DataType.FLOAT
        and len(value.const_value.shape) > 1
    ]
    assert floats == []


def test_products_of_two_activations_stay_in_fp32() -> None:
    text = f"""<ir_version: 10, opset_import: ["" : 23]>
        tower (float[batch, 4, {WIDTH}] pixel_values) => (float[batch, 4, 4] embedding) {{
            turned = Transpose <perm = [0, 2, 1]> (pixel_values)
            embedding = MatMul(pixel_values, turned)
        }}"""
    model = make_tower(text, {})
    quantize_per_token(model)
    assert [node.op_type for node in model.graph] == ["Transpose", "MatMul"]


def test_scaled_gemm_stays_in_fp32() -> None:
    text = f"""<ir_version: 10, opset_import: ["" : 23]>
        tower (float[batch, {WIDTH}] pixel_values) => (float[batch, 4] embedding) {{
            embedding = Gemm <alpha = 0.5> (pixel_values, weight)
        }}"""
    model = make_tower(text, {"weight": np.ones((WIDTH, 4), np.float32)})
    quantize_per_token(model)
    assert [node.op_type for node in model.graph] == ["Gemm"]


def test_embedding_table_is_int8_with_a_scale_for_each_row(tmp_path: Path) -> None:
    table = np.random.default_rng(0).normal(size=(100, WIDTH)).astype(np.float32)
    table[7] *= 1000
    text = f"""<ir_version: 10, opset_import: ["" : 23]>
        tower (int64[batch] input_ids) => (float[batch, {WIDTH}] embedding) {{
            embedding = Gather(table, input_ids)
        }}"""
    model = make_tower(text, {"table": table})
    quantize_per_token(model)
    session = open_session(model, tmp_path / "out", "input_ids")
    ids = np.arange(100)
    expected = table / np.linalg.norm(table, axis=1, keepdims=True)
    assert ((session.embed(ids) * expected).sum(axis=1) > 0.9999).all()
    stored = sum(file.stat().st_size for file in (tmp_path / "out").iterdir())
    assert stored < 0.5 * table.nbytes


def test_rewriting_again_gives_the_same_bytes(tmp_path: Path) -> None:
    for side in ("a", "b"):
        model = make_attention_block()
        quantize_per_token(model)
        save_model(model, tmp_path / side)
    files = [sorted((tmp_path / side).iterdir()) for side in ("a", "b")]
    assert [f.read_bytes() for f in files[0]] == [f.read_bytes() for f in files[1]]
