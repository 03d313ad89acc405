from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from fake_onnxruntime import CPU, FakeRuntime
from onnx import TensorProto, helper

from rsq.integer_products import GRAPH, adds_exactly
from rsq.onnx_session import cpu_class, session_options

DEPTH = 64
LARGEST = ", ".join(["127"] * DEPTH)
# What variants multiply by, from float32 a [1, DEPTH] to float32 c [1, 1].
PRODUCTS = {
    "int8-nearest": """q = Cast <to = 2> (a)
        c = com.microsoft.MatMulIntegerToFloat (q, w, one, one, zero, zero_s8)""",
    "int8-stock": """q, s, z = DynamicQuantizeLinear (a)  i = MatMulInteger (q, w, z, zero_s8)
        f = Cast <to = 1> (i)  c = Mul (f, s)""",
    "int8-static-s8": """q = QuantizeLinear (a, two, zero_s8)
        d = DequantizeLinear (q, two, zero_s8)
        v = DequantizeLinear <axis = 1> (w, ones, zeros)  c = MatMul (d, v)""",
}


def test_the_trial_is_the_product_that_its_comment_says() -> None:
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["c"])],
        "g",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [2, 2])],
        [helper.make_tensor_value_info("c", TensorProto.INT32, [2, 1])],
        [helper.make_tensor("b", TensorProto.INT8, [2, 1], b"\x7f\x7f", raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 10)], ir_version=4)
    assert model.SerializeToString(deterministic=True) == GRAPH


@pytest.mark.parametrize("saturates", [False, True])
def test_the_trial_tells_saturating_runtimes_from_exact_ones(saturates: bool) -> None:
    assert adds_exactly(FakeRuntime((CPU,), saturates=saturates)) is not saturates


@pytest.mark.parametrize(("saturates", "device_class"), [(False, "cpu"), (True, "cpu:no-vnni")])
def test_a_saturating_cpu_is_of_a_class_of_its_own(
    monkeypatch: pytest.MonkeyPatch, saturates: bool, device_class: str
) -> None:
    runtime = FakeRuntime((CPU,), saturates=saturates)
    monkeypatch.setattr("rsq.onnx_session.import_onnxruntime", lambda: runtime)
    assert cpu_class() == device_class


@pytest.mark.parametrize("variant", PRODUCTS)
def test_the_largest_products_are_added_exactly_on_whatever_cpu_this_is(variant: str) -> None:
    model = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]>
        g (float[1, {DEPTH}] a) => (float[1, 1] c)
        <int8[{DEPTH}, 1] w = {{{LARGEST}}}, float one = {{1}}, float two = {{2}},
         float[1] ones = {{1}}, uint8 zero = {{0}}, int8 zero_s8 = {{0}},
         int8[1] zeros = {{0}}>
        {{ {PRODUCTS[variant]} }}"""
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), session_options(1), providers=[CPU]
    )
    (sums,) = session.run(None, {"a": np.full((1, DEPTH), 254, np.float32)})
    assert sums.item() == pytest.approx(254 * 127 * DEPTH)
