"""Running a quantized tower for what its last layer is fitted on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from rsq.onnx_session import OUTPUT_NAME, session_options
from rsq.providers import CPU_PROVIDER
from rsq_server.build.external_data import open_model
from rsq_server.build.last_layer import Fit, find_last_layer, fit_last_layer
from rsq_server.build.workers import available_workers

Batches = Callable[[], Iterator[NDArray[Any]]]


def fit_projection(trunk: Path, fp32: Path, layer: str, batches: Batches) -> Fit:
    """Fits the last layer of the tower in `trunk`, in which it is still FP32, to the outputs of the
    tower in `fp32`."""
    expected = np.concatenate([rows for (rows,) in _run(fp32, [], batches)])
    model = open_model(trunk)
    last = find_last_layer(model.graph)
    assert last is not None
    value = last.node.inputs[0]
    assert value is not None
    found = list(_run(trunk, [str(value.name)], batches))
    inputs = np.concatenate([rows for rows, _ in found])
    outputs = np.concatenate([rows for _, rows in found])
    return fit_last_layer(layer, inputs, outputs, expected)


def _run(folder: Path, values: list[str], batches: Batches) -> Iterator[list[NDArray[np.float32]]]:
    """The named values and then the embedding, batch after batch."""
    model = open_model(folder)
    if values:
        for node in model.graph:
            for value in node.outputs:
                if value.name in values:
                    value.type = ir.TensorType(ir.DataType.FLOAT)
                    model.graph.outputs.append(value)
    with tempfile.NamedTemporaryFile(suffix=".onnx", dir=folder) as file:
        ir.save(model, file.name)
        options = session_options(available_workers())
        session = ort.InferenceSession(file.name, options, providers=[CPU_PROVIDER])
    (tower_input,) = session.get_inputs()
    for batch in batches():
        yield session.run([*values, OUTPUT_NAME], {tower_input.name: batch})
