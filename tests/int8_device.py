"""Whether ONNX Runtime multiplies uint8 by int8 exactly on this CPU.

Without VNNI it adds pairs of products in 16 bits, where large ones saturate: an INT8 network then
computes something else than it was made to, and no test of its accuracy can pass.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

SIZE = 64


@cache
def multiplies_exactly() -> bool:
    """Tried with the largest values there are."""
    inputs = [
        helper.make_tensor_value_info("a", TensorProto.UINT8, [SIZE, SIZE]),
        helper.make_tensor_value_info("b", TensorProto.INT8, [SIZE, SIZE]),
    ]
    outputs = [helper.make_tensor_value_info("c", TensorProto.INT32, [SIZE, SIZE])]
    node = helper.make_node("MatMulInteger", ["a", "b"], ["c"])
    graph = helper.make_graph([node], "products", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    a, b = np.full((SIZE, SIZE), 255, np.uint8), np.full((SIZE, SIZE), 127, np.int8)
    (product,) = session.run(None, {"a": a, "b": b})
    return bool((product == a.astype(np.int32) @ b.astype(np.int32)).all())
