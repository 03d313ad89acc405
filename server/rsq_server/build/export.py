"""Steps 3 and 4 of publish: each tower as an ONNX graph, held against torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch

from rsq.encoder import INPUT_NAMES
from rsq.errors import BadSource, InternalError
from rsq.manifest import Tower
from rsq.onnx_session import OUTPUT_NAME, TowerSession
from rsq.providers import CPU_PROVIDER
from rsq.similarity import normalise, row_cosines
from rsq_server.build.dual_encoder import DualEncoder
from rsq_server.build.external_data import GRAPH_NAME, save_model
from rsq_server.build.quiet import quiet

OPSET = 23  # the first with the Attention operator
BATCH = "batch"
MIN_COSINE = 0.99999
_CHECKED_BATCHES = (1, 3)


def export_tower(encoder: DualEncoder, tower: Tower, folder: Path) -> Path:
    """Writes the tower in FP32 to a new `folder` (see `external_data`) and returns the path of the
    graph: input `pixel_values` float32 or `input_ids` int64, output `embedding` float32
    [batch, dimension], not normalised, for any batch.

    The same weights give the same bytes. Raises BadSource for a tower that can't be exported.
    """
    model = _trace(encoder, tower)
    _free_output_name(model.graph)
    _name_linear_weights(model.graph)
    return save_model(model, folder)


def check_export(encoder: DualEncoder, tower: Tower, folder: Path) -> None:
    """Compares the graph in `folder` with torch on noise, alone and in a batch.

    Raises InternalError when a vector's cosine to torch's is below MIN_COSINE.
    """
    session = TowerSession(
        folder / GRAPH_NAME, input_name=INPUT_NAMES[tower], provider=CPU_PROVIDER, threads=1
    )
    for count in _CHECKED_BATCHES:
        inputs = encoder.sample_inputs(tower, count)
        with torch.inference_mode():
            expected = encoder.tower(tower)(torch.from_numpy(inputs)).numpy()
        cosine = float(row_cosines(normalise(expected), session.embed(inputs)).min())
        if not cosine >= MIN_COSINE:
            raise InternalError(
                f"The exported {tower} tower differs from torch: cosine {cosine:.6f} in a batch of "
                f"{count}, needed {MIN_COSINE}."
            )


def _trace(encoder: DualEncoder, tower: Tower) -> ir.Model:
    # Two rows, since torch.export takes a batch of one for a constant.
    example = torch.from_numpy(encoder.sample_inputs(tower, 2))
    try:
        with quiet(), torch.inference_mode():
            program: Any = torch.onnx.export(
                encoder.tower(tower),
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT_NAMES[tower]],
                output_names=[OUTPUT_NAME],
                dynamic_shapes=({0: torch.export.Dim(BATCH)},),
                verbose=False,
            )
    except MemoryError:
        raise
    except Exception as e:  # every layer of torch has its own errors
        raise BadSource(f"The checkpoint's {tower} tower can't be exported to ONNX.") from e
    model: ir.Model = program.model
    return model


def _free_output_name(graph: ir.Graph) -> None:
    """The exporter also calls an embedding look-up `embedding`, or what it folds to."""
    results = [value for node in graph for value in node.outputs]
    for value in (*graph.initializers.values(), *results):
        if value.name == OUTPUT_NAME and not value.is_graph_output():
            value.name = f"{OUTPUT_NAME}_lookup"


def _name_linear_weights(graph: ir.Graph) -> None:
    """Gives each weight that the exporter transposed, and numbered, the name beside its bias's, so
    that names and with them the order of the weights file do not hang on a counter."""
    for node in graph:
        if node.op_type != "MatMul" or node.inputs[1] is None:
            continue
        weight, users = node.inputs[1], node.outputs[0].consumers()
        if not weight.is_initializer() or len(users) != 1 or users[0].op_type != "Add":
            continue
        for bias in users[0].inputs:
            name = str(bias.name) if bias is not None else ""
            target = name.removesuffix("bias") + "weight"
            if name.endswith(".bias") and target not in graph.initializers:
                weight.name = target
