"""The linear layers of an exported tower, grouped by the activation that they read.

A site is one activation and every linear layer that multiplies it: a block's attention has one for
query, key and value and one for its output, its MLP has one for each of its two layers. A site is
what a recipe decides about, because layers that share an input share its quantized form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Source = Literal["norm", "attention", "activation", "other"]
Part = Literal["attention", "ffn", "head", "convolution", "other"]

_BLOCK = re.compile(r"\blayers\.(\d+)\.")
_HEAD = re.compile(r"(^|\.)(head|projection)\.")
_PATCHES = re.compile(r"\bpatch_embedding\b")
_FFN = re.compile(r"\.(mlp|fc\d)\b")
_ATTENTION = re.compile(r"\.(self_)?attn\.|\.attention\.")
HEAD, PATCHES = "head", "patches"
_SOURCES: dict[str, Source] = {
    "LayerNormalization": "norm",
    "Attention": "attention",
    "Gelu": "activation",
    "Mul": "activation",  # CLIP's x * sigmoid(1.702 x)
}
_MOVES = frozenset({"Reshape", "Transpose", "Squeeze", "Flatten"})
_PICKS = frozenset({"Slice", "Gather"})


@dataclass(frozen=True)
class Linear:
    """A MatMul or Gemm by a constant matrix, with the constant that is added to it, if any.
    `output` is the layer's result, bias included."""

    node: ir.Node
    weight: ir.Value
    bias: ir.Value | None
    output: ir.Value

    @property
    def name(self) -> str:
        return str(self.weight.name)

    def matrix(self) -> NDArray[np.float32]:
        """float32 [K, N], whichever way the node stores it."""
        array = read_array(self.weight)
        return array.T if is_transposed(self.node) else array

    def bias_array(self) -> NDArray[np.float32] | None:
        return None if self.bias is None else read_array(self.bias)


@dataclass(frozen=True)
class Site:
    """`value` float [..., width] feeds `linears`. `block` is "block 3" or "head"; `source` says
    what computed the value."""

    value: ir.Value
    linears: tuple[Linear, ...]
    block: str
    part: Part
    source: Source

    @property
    def name(self) -> str:
        return self.linears[0].name

    @property
    def width(self) -> int:
        return len(self.linears[0].matrix())


def find_sites(graph: ir.Graph) -> list[Site]:
    """The sites in the order in which they run; products of constants alone are none."""
    readers: dict[ir.Value, list[Linear]] = {}
    for linear in _find_linears(graph):
        value = linear.node.inputs[0]
        assert value is not None
        if value.const_value is None:
            readers.setdefault(value, []).append(linear)
    return [
        Site(
            value,
            tuple(linears),
            block=block_of(linears[0].name),
            part=_part_of(linears[0].name),
            source=_source_of(value),
        )
        for value, linears in readers.items()
    ]


def find_lookups(graph: ir.Graph) -> list[ir.Node]:
    """The Gathers that choose rows of a constant table of floats by the input: text embeddings."""
    return [
        node
        for node in graph
        if node.op_type == "Gather"
        and is_matrix(node.inputs[0])
        and not all(value is None or value.const_value is not None for value in node.inputs)
    ]


def block_of(name: str) -> str:
    """ "block 3" for a weight of the fourth layer, "patches" for one before the first, "head" for
    one after the last."""
    if _PATCHES.search(name):
        return PATCHES
    found = _BLOCK.search(name)
    return f"block {found[1]}" if found else HEAD


def read_array(value: ir.Value) -> NDArray[np.float32]:
    """The constant that `value` holds."""
    assert value.const_value is not None
    return np.asarray(value.const_value.numpy(), np.float32)


def is_matrix(value: ir.Value | None) -> bool:
    """Whether `value` is a constant float matrix."""
    return (
        value is not None
        and value.const_value is not None
        and value.const_value.dtype == ir.DataType.FLOAT
        and len(value.const_value.shape) == 2
    )


def is_transposed(node: ir.Node) -> bool:
    attribute = node.attributes.get("transB")
    return attribute is not None and bool(attribute.as_int())


def fold_constant_linears(graph: ir.Graph) -> None:
    """Computes the linear layers whose input is a constant, such as the query of SigLIP's pooling
    head, and drops their weights."""
    for linear in list(_find_linears(graph)):
        value = linear.node.inputs[0]
        assert value is not None
        if value.const_value is None or not linear.output.uses():
            continue
        rows = read_array(value) @ linear.matrix()
        bias = linear.bias_array()
        if bias is not None:
            rows = rows + bias
        replace_value(linear.output, add_constant(graph, f"{linear.name}.folded", rows))
        for node in dict.fromkeys((linear.output.producer(), linear.node)):
            assert node is not None
            graph.remove(node, safe=True)
        drop_unused(graph, linear.weight, linear.bias, value)


def add_constant(graph: ir.Graph, name: str, array: NDArray[np.generic]) -> ir.Value:
    """The initializer `name`, registered with `array` unless the graph has it already."""
    known = graph.initializers.get(name)
    if known is not None:
        return known
    array = np.ascontiguousarray(array)
    tensor = ir.Tensor(array, name=name)
    value = ir.val(name, dtype=tensor.dtype, shape=array.shape, const_value=tensor)
    graph.register_initializer(value)
    return value


def add_twin(graph: ir.Graph, value: ir.Value) -> ir.Value:
    """A second initializer with the tensor of the constant `value`, of which the file has one."""
    assert value.const_value is not None
    name = f"{value.name}_twin"
    twin = ir.val(name, dtype=value.dtype, shape=value.shape, const_value=value.const_value)
    graph.register_initializer(twin)
    return twin


def replace_value(old: ir.Value, new: ir.Value) -> None:
    """Gives `new` the readers of `old`, and its name, type and shape where it is computed."""
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    if new.const_value is None:
        name, old.name = old.name, None
        new.name, new.type, new.shape = name, old.type, old.shape


def replace_matrix(graph: ir.Graph, linear: Linear, matrix: NDArray[np.float32]) -> None:
    """Gives `linear` the weight `matrix` float32 [K, N], whichever way its node stores it."""
    stored = matrix.T if is_transposed(linear.node) else matrix
    replace_input(graph, linear.node, 1, stored)


def replace_input(graph: ir.Graph, node: ir.Node, index: int, array: NDArray[np.float32]) -> None:
    """Gives `node` its own constant, under the old one's name where nothing else reads that."""
    old = node.inputs[index]
    assert old is not None
    name = str(old.name)
    if len(old.uses()) > 1:
        name = f"{name}.{node.outputs[0].name}"
        node.replace_input_with(index, add_constant(graph, name, array))
        return
    old.const_value = ir.Tensor(np.ascontiguousarray(array, np.float32), name=name)


def drop_unused(graph: ir.Graph, *values: ir.Value | None) -> None:
    """Removes those of `values` that are initializers which nothing reads any more."""
    for value in values:
        if value is not None and not value.uses():
            graph.initializers.pop(str(value.name), None)


def _find_linears(graph: ir.Graph) -> Iterator[Linear]:
    for node in graph:
        if not _is_linear(node):
            continue
        weight, output = node.inputs[1], node.outputs[0]
        assert weight is not None
        if node.op_type == "Gemm":
            bias = node.inputs[2] if len(node.inputs) > 2 else None
            yield Linear(node, weight, bias, output)
        else:
            bias, output = _added_bias(output)
            yield Linear(node, weight, bias, output)


def _added_bias(product: ir.Value) -> tuple[ir.Value | None, ir.Value]:
    """The constant vector that is added to `product` and the sum, or None and `product`."""
    users = product.consumers()
    if len(users) == 1 and users[0].op_type == "Add" and not product.is_graph_output():
        for value in users[0].inputs:
            if value is not None and value.const_value is not None and _is_vector(value):
                return value, users[0].outputs[0]
    return None, product


def _is_vector(value: ir.Value) -> bool:
    return value.const_value is not None and len(value.const_value.shape) == 1


def _is_linear(node: ir.Node) -> bool:
    if node.op_type not in ("MatMul", "Gemm") or not is_matrix(node.inputs[1]):
        return False
    plain = {"alpha": 1.0, "beta": 1.0, "transA": 0}
    return all(
        attribute.value == plain.get(name, attribute.value)
        for name, attribute in node.attributes.items()
    )


def _part_of(name: str) -> Part:
    if _PATCHES.search(name):
        return "convolution"
    if _HEAD.search(name) and not _BLOCK.search(name):
        return "head"
    if _FFN.search(name):
        return "ffn"
    return "attention" if _ATTENTION.search(name) else "other"


def _source_of(value: ir.Value) -> Source:
    producer = value.producer()
    while producer is not None and (producer.op_type in _MOVES or producer.op_type in _PICKS):
        source = producer.inputs[0]
        producer = source.producer() if source is not None else None
    return "other" if producer is None else _SOURCES.get(producer.op_type, "other")
