"""INT8 with a scale for each token: the rewrite of a tower's linear layers and embedding table.

For a linear layer's input x [..., K] and weight W [K, N]:

    s  = max(max|x| over the last axis / 127, tiny)        float32 [..., 1], while running
    q  = round(x / s) + 128                                uint8   [..., K]
    w  = max|W| over the rows / 127                        float32 [N], at build time
    y  = MatMulInteger(q, round(W / w), 128) * s * w       float32 [..., N]

No scale spans two tokens, let alone two items, so a vector does not depend on its batch mates.
Activations are unsigned because ONNX Runtime's CPU kernel for uint8 x int8 is several times faster
than the one for int8 x int8. Everything between the linear layers stays FP32, and so does the patch
convolution (under 1 % of the weights and of the work of a base tower).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

_LEVELS = 127  # symmetric: -127..127 around the zero point
_ZERO_POINT = 128
_TINY = 1e-30  # the scale of a token that is all zeros


@dataclass(frozen=True)
class _Quantized:
    """A linear layer's input: uint8 [..., K] and its float32 scales [..., 1]."""

    values: ir.Value
    scales: ir.Value


def quantize_per_token(model: ir.Model) -> None:
    """Rewrites every MatMul and Gemm with a constant 2-D weight, and every look-up in a table of
    floats whose rows are chosen by the input, in place."""
    graph = model.graph
    rewriter = _Rewriter(graph)
    for node in list(graph):
        if _is_linear(node):
            rewriter.rewrite_linear(node)
        elif node.op_type == "Gather" and _is_matrix(node.inputs[0]) and not _is_constant(node):
            rewriter.rewrite_lookup(node)
    rewriter.finish()


def quantize_columns(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8 [K, N] and float32 scales [N] of `weight` float32 [K, N], symmetric."""
    largest = np.abs(weight).max(axis=0)
    scales = np.where(largest > 0, largest / _LEVELS, 1).astype(np.float32)
    return np.rint(weight / scales).clip(-_LEVELS, _LEVELS).astype(np.int8), scales


class _Rewriter:
    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._inputs: dict[ir.Value, _Quantized] = {}
        self._replaced: set[ir.Value] = set()
        self._zero_point = self._constant("zero_point", np.array(_ZERO_POINT, np.uint8))
        self._reciprocal = self._constant("per_level", np.array(1 / _LEVELS, np.float32))
        self._tiny = self._constant("smallest_scale", np.array(_TINY, np.float32))
        self._last_axis = self._constant("last_axis", np.array([-1], np.int64))
        self._flat = self._constant("flat", np.array([-1], np.int64))

    def rewrite_linear(self, node: ir.Node) -> None:
        rows, weight = node.inputs[0], node.inputs[1]
        assert rows is not None
        assert weight is not None
        matrix = _matrix(weight, node)
        tape = ir.tape.Tape()
        quantized = self._inputs.get(rows)
        if quantized is None:
            quantized = self._inputs[rows] = self._quantize(tape, rows, len(matrix))
        values, scales = quantize_columns(matrix)
        product = tape.op(
            "MatMulInteger",
            [quantized.values, self._constant(f"{weight.name}_int8", values), self._zero_point],
        )
        product = tape.op("Cast", [product], {"to": ir.DataType.FLOAT})
        product = tape.op("Mul", [product, quantized.scales])
        product = tape.op("Mul", [product, self._constant(f"{weight.name}_scale", scales)])
        if node.op_type == "Gemm" and len(node.inputs) > 2:
            product = tape.op("Add", [product, node.inputs[2]])
        self._replace(node, tape, product, weight)

    def rewrite_lookup(self, node: ir.Node) -> None:
        table, rows = node.inputs
        assert table is not None
        values, scales = quantize_columns(_array(table).T)
        tape = ir.tape.Tape()
        found = tape.op(
            "Gather", [self._constant(f"{table.name}_int8", np.ascontiguousarray(values.T)), rows]
        )
        found = tape.op("Cast", [found], {"to": ir.DataType.FLOAT})
        scale = tape.op("Gather", [self._constant(f"{table.name}_scale", scales[:, None]), rows])
        self._replace(node, tape, tape.op("Mul", [found, scale]), table)

    def finish(self) -> None:
        """Drops the FP32 tensors that nothing reads any more."""
        for value in self._replaced:
            if not value.uses():
                del self._graph.initializers[str(value.name)]

    def _quantize(self, tape: ir.tape.Tape, rows: ir.Value, width: int) -> _Quantized:
        largest = tape.op("ReduceMax", [tape.op("Abs", [rows]), self._last_axis])
        scales = tape.op("Max", [tape.op("Mul", [largest, self._reciprocal]), self._tiny])
        # ONNX Runtime takes a scale for each row of a matrix only, hence the way there and back.
        flat_scales = tape.op("Reshape", [scales, self._flat])
        zero_points = tape.op("Expand", [self._zero_point, tape.op("Shape", [flat_scales])])
        shape = self._constant(f"rows_of_{width}", np.array([-1, width], np.int64))
        flat = tape.op("Reshape", [rows, shape])
        flat = tape.op("QuantizeLinear", [flat, flat_scales, zero_points], {"axis": 0})
        return _Quantized(tape.op("Reshape", [flat, tape.op("Shape", [rows])]), scales)

    def _constant(self, name: str, array: NDArray[np.generic]) -> ir.Value:
        known = self._graph.initializers.get(name)
        if known is not None:
            return known
        tensor = ir.Tensor(array, name=name)
        value = ir.val(name, dtype=tensor.dtype, shape=array.shape, const_value=tensor)
        self._graph.register_initializer(value)
        return value

    def _replace(
        self, node: ir.Node, tape: ir.tape.Tape, result: ir.Value, weight: ir.Value
    ) -> None:
        old = node.outputs[0]
        self._graph.insert_before(node, tape.nodes)
        old.replace_all_uses_with(result, replace_graph_outputs=True)
        name, old.name = old.name, None
        self._graph.remove(node, safe=True)
        result.name, result.type, result.shape = name, old.type, old.shape
        self._replaced.add(weight)


def _is_linear(node: ir.Node) -> bool:
    if node.op_type not in ("MatMul", "Gemm") or not _is_matrix(node.inputs[1]):
        return False
    plain = {"alpha": 1.0, "beta": 1.0, "transA": 0}
    return all(
        attribute.value == plain.get(name, attribute.value)
        for name, attribute in node.attributes.items()
    )


def _is_matrix(value: ir.Value | None) -> bool:
    return (
        value is not None
        and value.const_value is not None
        and value.const_value.dtype == ir.DataType.FLOAT
        and len(value.const_value.shape) == 2
    )


def _is_constant(node: ir.Node) -> bool:
    return all(value is None or value.const_value is not None for value in node.inputs)


def _array(value: ir.Value) -> NDArray[np.float32]:
    assert value.const_value is not None
    return np.asarray(value.const_value.numpy(), np.float32)


def _matrix(weight: ir.Value, node: ir.Node) -> NDArray[np.float32]:
    """The weight as [K, N], whichever way the node stores it."""
    array = _array(weight)
    return array.T if _is_transposed(node) else array


def _is_transposed(node: ir.Node) -> bool:
    attribute = node.attributes.get("transB")
    return attribute is not None and bool(attribute.as_int())
