"""INT8 linear layers and embeddings: the rewrite of an FP32 graph for ONNX Runtime's CPU kernels.

For a linear layer's input x [..., K] and weight W [K, N], with w = max|W| / 127 for each column and
the shift c of what reads an activation function (0 elsewhere):

    token    s = max(|x|) / 127 or max(x + c) / 255, over the last axis      float32 [..., 1]
             q = round((x + c) / s) + zero point                             uint8   [..., K]
             y = (q - zero point) W' * w * s + b - c (w column sums of W')   float32 [..., N]
    wide     as token, and r = (x + c - s q) quantized once more with s / 254: two products, and
             an error of the activations as small as sixteen bits make it
    tensor   as token with one constant scale and zero point for all tokens, from a calibration

No scale spans two tokens, let alone two items, so a vector does not depend on its batch mates.
Activations are unsigned because the CPU kernel for uint8 x int8 is several times faster than that
for int8 x int8. An activation function's outputs are shifted by its lower bound instead of being
mirrored around zero, which doubles the levels that they get. Everything between the linear layers
stays FP32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from rsq_server.build.linears import (
    Linear,
    Site,
    add_constant,
    add_twin,
    drop_unused,
    find_lookups,
    find_sites,
    fold_constant_linears,
    read_array,
    replace_value,
)
from rsq_server.build.weight_rounding import LEVELS, round_nearest

_CONTRIB = "com.microsoft"
_TO_FLOAT = {"to": ir.DataType.FLOAT}
_ZERO_POINT = 128
_TINY = 1e-30  # the scale of a token that is all zeros
# Below the least value of GELU (-0.17004 in its tanh form, -0.16997 exactly) and of CLIP's
# x * sigmoid(1.702 x) (-0.16358).
ACTIVATION_LOW = -0.1701

Mode = Literal["token", "wide", "tensor"]
Lookups = Literal["int8", "half", "float"]
Rounding = Callable[[Site, Linear], tuple[NDArray[np.int8], NDArray[np.float32]]]


@dataclass(frozen=True)
class TensorScale:
    """uint8 = round(x / step) + zero_point."""

    step: float
    zero_point: int


@dataclass(frozen=True)
class SitePlan:
    """`scale` is for the mode "tensor" only."""

    mode: Mode
    scale: TensorScale | None = None


@dataclass(frozen=True)
class _Quantized:
    """uint8 `values` [..., K] that stand for (values - zero_point) * factor * scales, `scales`
    float32 [..., 1] or None for 1."""

    values: ir.Value
    zero_point: ir.Value
    factor: ir.Value
    scales: ir.Value | None


def quantize_nearest(site: Site, linear: Linear) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The rounding that needs no calibration."""
    return round_nearest(linear.matrix())


def quantize_graph(
    model: ir.Model,
    plans: Mapping[str, SitePlan],
    *,
    rounding: Rounding = quantize_nearest,
    lookups: Lookups = "int8",
) -> None:
    """Rewrites the sites named in `plans`, in place, and the look-ups in a table of floats as
    `lookups` says: a scale for each row, or half precision. Other linear layers stay as they are.
    """
    graph = model.graph
    model.opset_imports.setdefault(_CONTRIB, 1)
    fold_constant_linears(graph)
    rewriter = _Rewriter(graph, rounding)
    for site in find_sites(graph):
        if site.name in plans:
            rewriter.rewrite_site(site, plans[site.name])
    if lookups != "float":
        for node in find_lookups(graph):
            rewriter.rewrite_lookup(node, lookups)


class _Rewriter:
    def __init__(self, graph: ir.Graph, rounding: Rounding) -> None:
        self._graph = graph
        self._rounding = rounding

    def rewrite_site(self, site: Site, plan: SitePlan) -> None:
        tape = ir.tape.Tape()
        shift = -ACTIVATION_LOW if site.source == "activation" and plan.mode != "tensor" else 0.0
        parts = self._quantize(tape, site, plan, shift)
        self._graph.insert_before(site.linears[0].node, tape.nodes)
        for linear in site.linears:
            self._rewrite_linear(site, linear, parts, shift)

    def rewrite_lookup(self, node: ir.Node, lookups: Lookups) -> None:
        table, rows = node.inputs
        assert table is not None
        tape = ir.tape.Tape()
        if lookups == "half":
            stored = self._constant(f"{table.name}_half", read_array(table).astype(np.float16))
            found = tape.op("Cast", [tape.op("Gather", [stored, rows])], _TO_FLOAT)
        else:
            values, scales = round_nearest(read_array(table).T)
            stored = self._constant(f"{table.name}_int8", values.T)
            found = tape.op("Cast", [tape.op("Gather", [stored, rows])], _TO_FLOAT)
            column = self._constant(f"{table.name}_scale", scales[:, None])
            found = tape.op("Mul", [found, tape.op("Gather", [column, rows])])
        self._graph.insert_before(node, tape.nodes)
        replace_value(node.outputs[0], found)
        self._graph.remove(node, safe=True)
        drop_unused(self._graph, table)

    def _rewrite_linear(
        self, site: Site, linear: Linear, parts: list[_Quantized], shift: float
    ) -> None:
        values, scales = self._rounding(site, linear)
        weight = self._constant(f"{linear.name}_int8", values)
        columns = self._constant(f"{linear.name}_scale", scales)
        bias = self._bias(linear, values, scales, shift)
        tape = ir.tape.Tape()
        # The kernel adds the bias itself where no scale of the tokens comes between.
        fused = [bias] if bias is not None and parts[0].scales is None else []
        # On a CPU without VNNI the runtime makes weights and their zero points uint8, each for one
        # reader only, and releases up to 1.28 end the process where no zero point is given.
        weights = [weight, *(add_twin(self._graph, weight) for _ in parts[1:])]
        zeros = [self._constant(f"{own.name}_zero", np.array(0, np.int8)) for own in weights]
        products = [
            tape.op(
                "MatMulIntegerToFloat",
                [part.values, own, part.factor, columns, part.zero_point, zero, *fused],
                domain=_CONTRIB,
            )
            for part, own, zero in zip(parts, weights, zeros, strict=True)
        ]
        product = products[0] if len(products) == 1 else tape.op("Add", products)
        if parts[0].scales is not None:
            product = tape.op("Mul", [product, parts[0].scales])
            if bias is not None:
                product = tape.op("Add", [product, bias])
        self._graph.insert_before(linear.node, tape.nodes)
        ends = dict.fromkeys((linear.output.producer(), linear.node))
        replace_value(linear.output, product)
        for node in ends:
            assert node is not None
            self._graph.remove(node, safe=True)
        drop_unused(self._graph, linear.weight, linear.bias)

    def _quantize(
        self, tape: ir.tape.Tape, site: Site, plan: SitePlan, shift: float
    ) -> list[_Quantized]:
        if plan.scale is not None:
            step = self._scalar(f"{site.name}.step", plan.scale.step)
            zero_point = self._zero_point(plan.scale.zero_point)
            values = tape.op("QuantizeLinear", [site.value, step, zero_point])
            return [_Quantized(values, zero_point, step, None)]
        rows = site.value
        if shift:
            rows = tape.op("Add", [rows, self._scalar("activation_shift", shift)])
        scales = self._token_scales(tape, rows, shifted=bool(shift))
        zero_point = self._zero_point(0 if shift else _ZERO_POINT)
        # ONNX Runtime takes a scale for each row of a matrix only, hence the way there and back.
        width = site.width
        shape = self._constant(f"rows_of_{width}", np.array([-1, width], np.int64))
        flat_scales = tape.op("Reshape", [scales, self._constant("flat", np.array([-1], np.int64))])
        flat = tape.op("Reshape", [rows, shape])
        row_points = self._row_points(tape, zero_point, flat_scales)
        values = tape.op("QuantizeLinear", [flat, flat_scales, row_points], {"axis": 0})
        whole = tape.op("Shape", [rows])
        first = _Quantized(
            tape.op("Reshape", [values, whole]), zero_point, self._scalar("one", 1.0), scales
        )
        if plan.mode == "token":
            return [first]
        restored = tape.op("DequantizeLinear", [values, flat_scales, row_points], {"axis": 0})
        rest = tape.op("Sub", [flat, restored])
        # A rounding error is at most half a step, which is LEVELS steps of this size.
        finer = 1 / (2 * LEVELS)
        fine = tape.op("Mul", [flat_scales, self._scalar("finer", finer)])
        middle = self._zero_point(_ZERO_POINT)
        points = self._row_points(tape, middle, fine)
        rest = tape.op("QuantizeLinear", [rest, fine, points], {"axis": 0})
        second = _Quantized(
            tape.op("Reshape", [rest, whole]), middle, self._scalar("finer", finer), scales
        )
        return [first, second]

    def _token_scales(self, tape: ir.tape.Tape, rows: ir.Value, *, shifted: bool) -> ir.Value:
        """float32 [..., 1]; shifted rows are positive."""
        last_axis = self._constant("last_axis", np.array([-1], np.int64))
        magnitudes = rows if shifted else tape.op("Abs", [rows])
        largest = tape.op("ReduceMax", [magnitudes, last_axis])
        levels = 2 * LEVELS + 1 if shifted else LEVELS
        reciprocal = self._scalar(f"per_{levels}", 1 / levels)
        scales = tape.op("Mul", [largest, reciprocal])
        return tape.op("Max", [scales, self._scalar("smallest_scale", _TINY)])

    def _row_points(
        self, tape: ir.tape.Tape, zero_point: ir.Value, flat_scales: ir.Value
    ) -> ir.Value:
        return tape.op("Expand", [zero_point, tape.op("Shape", [flat_scales])])

    def _bias(
        self,
        linear: Linear,
        values: NDArray[np.int8],
        scales: NDArray[np.float32],
        shift: float,
    ) -> ir.Value | None:
        """The layer's bias without what the shift adds to every output."""
        if not shift:
            return linear.bias
        added = values.sum(axis=0, dtype=np.int64) * scales.astype(np.float64) * shift
        bias = linear.bias_array()
        corrected = (0.0 if bias is None else bias) - added
        return self._constant(f"{linear.name}_bias", corrected.astype(np.float32))

    def _zero_point(self, value: int) -> ir.Value:
        return self._constant(f"zero_point_{value}", np.array(value, np.uint8))

    def _scalar(self, name: str, value: float) -> ir.Value:
        return self._constant(name, np.array(value, np.float32))

    def _constant(self, name: str, array: NDArray[np.generic]) -> ir.Value:
        return add_constant(self._graph, name, array)
