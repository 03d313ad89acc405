"""ONNX's operator Attention, written out as products and a Softmax, for runtimes that lack it.

    softmax(query @ key^T * scale + mask) @ value

A score that a mask of truth values excludes becomes the least float: ONNX's minus infinity would
give NaN where a row excludes all.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from rsq.errors import GateRefused
from rsq_server.build.linears import add_constant, replace_value

_OPERATOR = "Attention"
# What torch's exporter writes; `scale` may have any value, or be left out.
_KNOWN = {"is_causal": 0, "qk_matmul_output_mode": 0, "softcap": 0.0}


def write_out_attention(model: ir.Model) -> None:
    """Replaces each Attention over [n, heads, tokens, width] in place.

    Raises GateRefused for one with an option that is not written out here.
    """
    nodes = [node for node in model.graph if node.op_type == _OPERATOR]
    if nodes:
        ShapeInferencePass()(model)  # files don't hold the types of what is computed
    for node in nodes:
        _check(node)
        _rewrite(model.graph, node)


def _check(node: ir.Node) -> None:
    odd = [
        name
        for name, attribute in node.attributes.items()
        if name != "scale" and attribute.value != _KNOWN.get(name)
    ]
    if any(node.inputs[4:]) or len(node.outputs) > 1:
        odd.append("past keys and values")
    shapes = [None if value is None else value.shape for value in node.inputs[:3]]
    heads = {None if shape is None or len(shape) != 4 else shape[1] for shape in shapes}
    if len(heads) > 1 or None in heads:
        odd.append("inputs other than [n, heads, tokens, width] with as many heads each")
    mask = node.inputs[3] if len(node.inputs) > 3 else None
    if mask is not None and mask.dtype not in (ir.DataType.BOOL, ir.DataType.FLOAT):
        odd.append("a mask of other types than bool and float")
    if odd:
        raise GateRefused(f"An Attention can't be written out as products: {', '.join(odd)}.")


def _scale(node: ir.Node) -> float:
    given = node.attributes.get("scale")
    if given is not None:
        return given.as_float()
    query = node.inputs[0]
    assert query is not None
    assert query.shape is not None
    width = query.shape[3]
    if not isinstance(width, int):
        raise GateRefused("An Attention has neither a scale nor a width that is known.")
    return 1 / math.sqrt(width)


def _rewrite(graph: ir.Graph, node: ir.Node) -> None:
    query, key, value = node.inputs[:3]
    mask = node.inputs[3] if len(node.inputs) > 3 else None
    factor = np.array(_scale(node), np.float32)
    tape = ir.tape.Tape()
    turned = tape.op("Transpose", [key], {"perm": [0, 1, 3, 2]})
    # The query has fewer numbers than the scores.
    scaled = tape.op("Mul", [query, add_constant(graph, f"attention_scale_{factor}", factor)])
    scores = tape.op("MatMul", [scaled, turned])
    if mask is not None and mask.dtype == ir.DataType.BOOL:
        least = np.array(np.finfo(np.float32).min, np.float32)
        excluded = add_constant(graph, "attention_excluded", least)
        scores = tape.op("Where", [mask, scores, excluded])
    elif mask is not None:
        scores = tape.op("Add", [scores, mask])
    shares = tape.op("Softmax", [scores], {"axis": -1})
    mixed = tape.op("MatMul", [shares, value])
    graph.insert_before(node, tape.nodes)
    replace_value(node.outputs[0], mixed)
    graph.remove(node, safe=True)
