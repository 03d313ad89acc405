"""A patch convolution as the linear layer that it is.

Where kernel and stride are equal and nothing is padded, no pixel is in two patches: the convolution
multiplies each flattened patch by one matrix. As a MatMul it is a site like the others and can be
quantized like them.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rsq_server.build.linears import add_constant, drop_unused, read_array, replace_value


def linearize_patches(graph: ir.Graph, *, height: int, width: int) -> bool:
    """Rewrites the patch convolution of images `height` x `width` in place, and returns whether
    there was one."""
    for node in graph:
        if node.op_type == "Conv" and _is_patchwise(node):
            _rewrite(graph, node, height, width)
            return True
    return False


def _rewrite(graph: ir.Graph, node: ir.Node, height: int, width: int) -> None:
    pixels, weight = node.inputs[0], node.inputs[1]
    assert weight is not None
    array = read_array(weight)  # [out, channels, patch height, patch width]
    out, channels, patch_height, patch_width = array.shape
    rows, columns = height // patch_height, width // patch_width
    tape = ir.tape.Tape()

    def reshape(value: ir.Value | None, name: str, shape: list[int]) -> ir.Value:
        return tape.op("Reshape", [value, add_constant(graph, name, np.array(shape, np.int64))])

    split = reshape(pixels, "patch_grid", [-1, channels, rows, patch_height, columns, patch_width])
    split = tape.op("Transpose", [split], {"perm": [0, 2, 4, 1, 3, 5]})
    size = channels * patch_height * patch_width
    flat = reshape(split, "patch_rows", [-1, rows * columns, size])
    matrix = add_constant(graph, f"{weight.name}.linear", array.reshape(out, size).T)
    product = tape.op("MatMul", [flat, matrix])
    if len(node.inputs) > 2:
        product = tape.op("Add", [product, node.inputs[2]])
    product = tape.op("Transpose", [product], {"perm": [0, 2, 1]})
    product = reshape(product, "patch_map", [-1, out, rows, columns])
    graph.insert_before(node, tape.nodes)
    replace_value(node.outputs[0], product)
    graph.remove(node, safe=True)
    drop_unused(graph, weight)


def _is_patchwise(node: ir.Node) -> bool:
    weight = node.inputs[1]
    if weight is None or weight.const_value is None:
        return False
    kernel = weight.const_value.numpy().shape[2:]
    strides = _integers(node, "strides", [1, 1])
    pads = _integers(node, "pads", [0, 0, 0, 0])
    group, padding = node.attributes.get("group"), node.attributes.get("auto_pad")
    return (
        strides == list(kernel)
        and not any(pads)
        and (padding is None or padding.as_string() in ("NOTSET", "VALID"))
        and (group is None or group.as_int() == 1)
        and _integers(node, "dilations", [1, 1]) == [1, 1]
    )


def _integers(node: ir.Node, name: str, default: list[int]) -> list[int]:
    attribute = node.attributes.get(name)
    return default if attribute is None else [int(value) for value in attribute.as_ints()]
