"""INT8 as TensorRT wants it: QuantizeLinear and DequantizeLinear, symmetric, zero point 0.

Standard operators around each linear layer's input and weight say where INT8 is meant, and the
runtime fuses them into INT8 products. Activations have one constant scale each, from a calibration;
weights one for each output column.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from rsq_server.build.integer import Rounding
from rsq_server.build.linears import (
    Site,
    add_constant,
    drop_unused,
    find_sites,
    fold_constant_linears,
    is_transposed,
)
from rsq_server.build.weight_rounding import LEVELS


def insert_symmetric_qdq(
    model: ir.Model, magnitudes: Mapping[str, float], *, rounding: Rounding
) -> None:
    """Wraps the sites named in `magnitudes`, in place; each activation's magnitude maps to 127."""
    graph = model.graph
    fold_constant_linears(graph)
    zero = add_constant(graph, "zero_point_s8", np.array(0, np.int8))
    for site in find_sites(graph):
        if site.name in magnitudes:
            _wrap(graph, site, magnitudes[site.name], zero, rounding)


def _wrap(
    graph: ir.Graph, site: Site, magnitude: float, zero: ir.Value, rounding: Rounding
) -> None:
    step = np.array(max(magnitude / LEVELS, np.finfo(np.float32).tiny), np.float32)
    scale = add_constant(graph, f"{site.name}.step", step)
    tape = ir.tape.Tape()
    quantized = tape.op("QuantizeLinear", [site.value, scale, zero])
    restored = tape.op("DequantizeLinear", [quantized, scale, zero])
    graph.insert_before(site.linears[0].node, tape.nodes)
    for linear in site.linears:
        values, columns = rounding(site, linear)
        transposed = is_transposed(linear.node)
        tape = ir.tape.Tape()
        weight = tape.op(
            "DequantizeLinear",
            [
                add_constant(graph, f"{linear.name}_int8", values.T if transposed else values),
                add_constant(graph, f"{linear.name}_scale", columns),
                # On a CPU without VNNI the runtime makes these uint8 with the weight, and can for
                # one reader only; left out, it puts one where each column needs its own.
                add_constant(graph, f"{linear.name}_zero", np.zeros(len(columns), np.int8)),
            ],
            {"axis": 0 if transposed else 1},
        )
        graph.insert_before(linear.node, tape.nodes)
        linear.node.replace_input_with(0, restored)
        linear.node.replace_input_with(1, weight)
        drop_unused(graph, linear.weight)
