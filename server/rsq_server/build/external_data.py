"""ONNX files whose weights lie beside the graph, in an order that keeps unchanged bytes in place.

    FOLDER/model.onnx        graph, and tensors of less than 1 KiB
           model.onnx.data   first the tensors of 64 KiB and more, each at a multiple of 64 KiB,
                             then the rest, each at a multiple of 64 bytes, both as the graph
                          uses them

A tensor that several initializers hold lies there once. A tensor's place depends on the graph and
on sizes alone: when some values change, the others keep their offsets and their chunks keep their
digests. What belongs together lies together: names would scatter a head's weights, since the
exporter numbers those that it folds, and each piece costs a chunk at its edges. Aligning the small
ones to 64 KiB too would cost 10-80 % of the file (measured on SigLIP towers); 64 bytes is a cache
line.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir

GRAPH_NAME = "model.onnx"
WEIGHTS_NAME = "model.onnx.data"
_INLINE_BYTES = 1 << 10
_LARGE_BYTES = _LARGE_ALIGNMENT = 1 << 16
_SMALL_ALIGNMENT = 64


def save_model(model: ir.Model, folder: Path) -> Path:
    """Writes `model` to a new `folder` and returns the path of the graph.

    One tensor at a time is copied. Names of producers, documentation and metadata are removed, so
    that equal models give equal bytes; afterwards the model's tensors are those of the files.
    """
    folder.mkdir(parents=True)
    _strip(model)
    places = list(_place(model))
    if places:
        _write_weights(places, folder)
    graph_path = folder / GRAPH_NAME
    ir.save(model, graph_path)
    return graph_path


def open_model(folder: Path) -> ir.Model:
    """The model in `folder`; its large tensors stay on disk and are mapped when they are read."""
    return ir.load(folder / GRAPH_NAME)


def _strip(model: ir.Model) -> None:
    """Removes what computes nothing: who made the model, documentation, metadata, and the types of
    all values but inputs and outputs, which tensors state themselves and readers infer."""
    model.producer_name = model.producer_version = model.domain = model.doc_string = None
    model.model_version = None
    model.metadata_props.clear()
    graph = model.graph
    graph.doc_string = None
    graph.metadata_props.clear()
    results: list[ir.Value] = []
    for node in graph:
        node.doc_string = None
        node.metadata_props.clear()
        results += node.outputs
    doors = {*graph.inputs, *graph.outputs}
    for value in (*graph.inputs, *graph.initializers.values(), *results):
        value.doc_string = None
        value.metadata_props.clear()
        if value not in doors:
            value.type = value.shape = None


def _place(model: ir.Model) -> Iterator[tuple[list[ir.Value], int]]:
    """(the initializers that hold it, offset in bytes) for each tensor that goes into the weights
    file."""
    holders: dict[Hashable, list[ir.Value]] = {}
    for value in _in_order_of_use(model.graph):
        holders.setdefault(_identity(_tensor_of(value)), []).append(value)
    sized = [(values, _tensor_of(values[0]).nbytes) for values in holders.values()]
    large = [(values, size) for values, size in sized if size >= _LARGE_BYTES]
    small = [(values, size) for values, size in sized if _INLINE_BYTES <= size < _LARGE_BYTES]
    offset = 0
    for tensors, alignment in ((large, _LARGE_ALIGNMENT), (small, _SMALL_ALIGNMENT)):
        for values, size in tensors:
            offset = -(-offset // alignment) * alignment
            yield values, offset
            offset += size


def _identity(tensor: ir.TensorProtocol) -> Hashable:
    """Equal for one tensor and for two that are the same stretch of a file."""
    if isinstance(tensor, ir.ExternalTensor):
        return tensor.path, tensor.offset, tensor.length
    return id(tensor)


def _in_order_of_use(graph: ir.Graph) -> list[ir.Value]:
    """The initializers, first those that the first node reads; what no node reads comes last, by
    name."""
    unused = dict(sorted(graph.initializers.items()))
    used = [
        unused.pop(value.name)
        for node in graph.all_nodes()
        for value in node.inputs
        if value is not None and value.name is not None and value.name in unused
    ]
    return [*used, *unused.values()]


def _write_weights(places: list[tuple[list[ir.Value], int]], folder: Path) -> None:
    with (folder / WEIGHTS_NAME).open("wb") as file:
        for values, offset in places:
            tensor = _tensor_of(values[0])
            array = np.ascontiguousarray(tensor.numpy())
            file.write(bytes(offset - file.tell()))
            file.write(array.data)
            for value in values:
                value.const_value = ir.ExternalTensor(
                    WEIGHTS_NAME,
                    offset,
                    array.nbytes,
                    tensor.dtype,
                    shape=ir.Shape(array.shape),
                    name=str(value.name),
                    base_dir=folder,
                )


def _tensor_of(value: ir.Value) -> ir.TensorProtocol:
    assert value.const_value is not None, f"The initializer {value.name} has no value."
    return value.const_value
