"""FP16 weights and arithmetic behind an FP32 door.

Inputs and outputs keep their types, so that a node feeds every variant alike. LayerNormalization
computes its statistics in FP32 by definition (stash_type 1); Attention is told to do so with its
softmax.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from rsq.errors import GateRefused

_FLOAT, _HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16
_MAX_HALF = float(np.finfo(np.float16).max)


def convert_to_half(model: ir.Model) -> None:
    """Casts every float tensor of `model` to FP16, in place. Raises GateRefused when a weight is
    beyond FP16's range."""
    graph = model.graph
    for value in graph.initializers.values():
        if value.const_value is not None and value.const_value.dtype == _FLOAT:
            _halve(value)
    for node in list(graph):
        if node.op_type == "Attention":
            node.attributes["softmax_precision"] = ir.AttrInt64("softmax_precision", int(_FLOAT))
        target = node.attributes.get("to") if node.op_type == "Cast" else None
        if target is not None and target.as_int() == _FLOAT:
            node.attributes["to"] = ir.AttrInt64("to", int(_HALF))
    for value in graph.inputs:
        if value.dtype == _FLOAT:
            _cast_input(graph, value)
    for value in list(graph.outputs):
        _cast_output(graph, value)


def _halve(value: ir.Value) -> None:
    tensor = value.const_value
    assert tensor is not None
    array = tensor.numpy()
    if not np.abs(array).max(initial=0) <= _MAX_HALF:
        raise GateRefused(f"The weight {value.name} is beyond FP16's range, {_MAX_HALF:.0f}.")

    def convert() -> ir.TensorProtocol:
        # Read again when it is written, so that the FP16 copies are never all in memory.
        halves: NDArray[np.float16] = tensor.numpy().astype(np.float16)
        return ir.Tensor(halves, name=value.name)

    value.const_value = ir.LazyTensor(
        convert, dtype=_HALF, shape=ir.Shape(array.shape), name=value.name
    )
    value.type = ir.TensorType(_HALF)


def _cast_input(graph: ir.Graph, value: ir.Value) -> None:
    cast = ir.node("Cast", [value], {"to": int(_HALF)})
    value.replace_all_uses_with(cast.outputs[0])
    cast.replace_input_with(0, value)
    graph.insert_before(graph[0], cast)


def _cast_output(graph: ir.Graph, value: ir.Value) -> None:
    name = value.name
    value.name = f"{name}_half"
    cast = ir.node("Cast", [value], {"to": int(_FLOAT)})
    result = cast.outputs[0]
    result.type, result.shape = ir.TensorType(_FLOAT), value.shape
    graph.append(cast)
    value.replace_all_uses_with(result, replace_graph_outputs=True)
    cast.replace_input_with(0, value)
    value.type = ir.TensorType(_HALF)
    result.name = name
