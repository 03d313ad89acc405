"""The torch-native variant: a tower in torchao's INT8, as an exported program of plain operators.

docs/decisions/0011-torch-native-artifacts.md says why the program does not hold torchao's tensors.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rsq.errors import BadSource, GateRefused, IntegrityError, InternalError
from rsq.manifest import RecipeSpec, Tower
from rsq.providers import TORCH_CPU, TORCH_CUDA
from rsq.similarity import normalise, row_cosines
from rsq.torch_tower import PROGRAM_NAME, TorchTower
from rsq_server.build.dual_encoder import DualEncoder
from rsq_server.build.int8_layers import CUDA_MULTIPLE, CUDA_ROWS_OVER, Int8Embedding, Int8Linear
from rsq_server.build.quiet import quiet

RECIPE_NAME = "torchao-int8-dynamic"
BATCH = "batch"
# The program against the modules it was made from, and these against FP32. The gates judge a
# variant's accuracy on data; below the second figure, on noise, something is wrong with it.
MIN_EXPORT_COSINE = 0.99999
MIN_FP32_COSINE = 0.9
_CHECKED_BATCHES = (1, 3)
# What the exporter notes of each operator: file names and lines of this machine, module names.
_ORIGINS = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node", "custom")


def export_torch_tower(encoder: DualEncoder, tower: Tower, folder: Path) -> RecipeSpec:
    """Writes the tower in INT8 to PROGRAM_NAME in a new `folder`, for any batch, and returns what
    its manifest says of the recipe. The encoder stays as it is; beside it, only the INT8 weights
    are in memory.

    1. quantize; 2. export; 3. save; 4. open it as a node would, and compare.

    The same weights give the same bytes with the same torch. Raises BadSource for a tower that
    can't be exported or needs an operator that nodes refuse, GateRefused for one that INT8 breaks,
    InternalError when the program differs from what was exported.
    """
    # 1. quantize
    quantized = quantize_tower(encoder, tower)

    # 2. export
    program = _trace(encoder, tower, quantized)
    _forget_origins(program)

    # 3. save
    folder.mkdir(parents=True)
    with quiet():
        torch.export.save(program, folder / PROGRAM_NAME)

    # 4. compare
    _check(encoder, tower, quantized, folder / PROGRAM_NAME)
    parameters = {
        "activations": "int8, per row, symmetric, dynamic",
        "weights": "int8, per output channel, symmetric",
    }
    if tower == "text":
        parameters["embeddings"] = "int8, per row, symmetric"
    # torch runs it on a CPU as well, slower than ONNX Runtime runs FP32 there.
    return RecipeSpec(RECIPE_NAME, (TORCH_CUDA,), parameters)


def quantize_tower(encoder: DualEncoder, tower: Tower) -> nn.Module:
    """A tower whose linear layers, and in a text tower the token embedding, are INT8; all other
    weights are the encoder's own."""
    module = _share_weights(encoder.tower(tower))
    rows = _count_rows(module, torch.from_numpy(encoder.sample_inputs(tower, 1)))
    names = [name for name, part in module.named_modules() if name in rows and _suits_cuda(part)]
    tables = [
        name
        for name, part in module.named_modules()
        if isinstance(part, nn.Embedding) and part.num_embeddings == encoder.vocabulary_size
    ]
    _quantize(module, linears=names, tables=tables)
    for name in names:
        linear: Any = module.get_submodule(name)
        bias = None if linear.bias is None else linear.bias.detach()
        few_rows = rows[name] <= CUDA_ROWS_OVER
        _replace(module, name, Int8Linear(*_numbers(linear), bias, few_rows=few_rows))
    for name in tables:
        _replace(module, name, Int8Embedding(*_numbers(module.get_submodule(name))))
    return module.eval().requires_grad_(False)


def _share_weights(module: nn.Module) -> nn.Module:
    """A copy of the modules over the same tensors."""
    tensors: tuple[Tensor, ...] = (*module.parameters(), *module.buffers())
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def _count_rows(module: nn.Module, inputs: Tensor) -> dict[str, int]:
    """How many rows each linear layer multiplies for one item, by name."""
    rows: dict[str, int] = {}

    def listen(name: str) -> Any:
        def count(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            rows[name] = arguments[0].numel() // arguments[0].shape[-1]

        return count

    hooks = [
        part.register_forward_pre_hook(listen(name))
        for name, part in module.named_modules()
        if _is_linear(part)
    ]
    with torch.inference_mode():
        module(inputs)
    for hook in hooks:
        hook.remove()
    return rows


def _is_linear(part: nn.Module) -> bool:
    """Whether `part` is a linear layer, nn.Linear or one over another layer's tensors."""
    weight = getattr(part, "weight", None)
    is_matrix = isinstance(weight, Tensor) and weight.dim() == 2
    return is_matrix and hasattr(part, "bias") and not isinstance(part, nn.Embedding)


def _suits_cuda(part: nn.Module) -> bool:
    weight = part.weight
    assert isinstance(weight, Tensor)
    return all(size % CUDA_MULTIPLE == 0 for size in weight.shape)


def _quantize(module: nn.Module, *, linears: list[str], tables: list[str]) -> None:
    """Replaces the weights of the named layers by torchao's tensors."""
    with quiet():
        from torchao.quantization import (
            Int8DynamicActivationInt8WeightConfig,
            Int8WeightOnlyConfig,
            quantize_,
        )

    for config, names in (
        (Int8DynamicActivationInt8WeightConfig(set_inductor_config=False), linears),
        (Int8WeightOnlyConfig(set_inductor_config=False), tables),
    ):
        quantize_(module, config, filter_fn=lambda _, name, names=names: name in names)


def _numbers(part: nn.Module) -> tuple[Tensor, Tensor]:
    """int8 values [rows, columns] and float32 scales [rows] of a layer that torchao quantized."""
    weight: Any = part.weight
    return weight.qdata.contiguous(), weight.scale.flatten()


def _replace(module: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, part)


def _trace(encoder: DualEncoder, tower: Tower, module: nn.Module) -> Any:
    # Two rows, since torch.export takes a batch of one for a constant.
    example = torch.from_numpy(encoder.sample_inputs(tower, 2))
    shapes = ({0: torch.export.Dim(BATCH)},)
    try:
        # Not decomposed: that turns a reshape into a view where the CPU's memory layout allows it,
        # and CUDA's attention returns another layout.
        with quiet(), torch.no_grad():
            return torch.export.export(module, (example,), dynamic_shapes=shapes)
    except MemoryError:
        raise
    except Exception as e:  # every layer of torch has its own errors
        raise BadSource(f"The checkpoint's {tower} tower can't be exported for torch.") from e


def _forget_origins(program: Any) -> None:
    """Drops the example, which would be pickled, what names this machine, and checks of types that
    hold by construction."""
    program._example_inputs = None
    graph = program.graph
    for node in list(graph.nodes):
        for key in _ORIGINS:
            node.meta.pop(key, None)
        if node.target is torch.ops.aten._assert_tensor_metadata.default:
            graph.erase_node(node)
    program.graph_module.recompile()


def _check(encoder: DualEncoder, tower: Tower, module: nn.Module, path: Path) -> None:
    try:
        opened = TorchTower(path, provider=TORCH_CPU, threads=1)
    except IntegrityError as e:
        raise BadSource(f"The {tower} tower can't be served by torch: {e.message}") from e
    for count in _CHECKED_BATCHES:
        inputs = encoder.sample_inputs(tower, count)
        rows = opened.embed(inputs)
        with torch.inference_mode():
            quantized, fp32 = (
                normalise(part(torch.from_numpy(inputs)).numpy())
                for part in (module, encoder.tower(tower))
            )
        cosine = float(row_cosines(quantized, rows).min())
        if not cosine >= MIN_EXPORT_COSINE:
            raise InternalError(
                f"The exported {tower} program differs from its modules: cosine {cosine:.6f} in a "
                f"batch of {count}, needed {MIN_EXPORT_COSINE}."
            )
        cosine = float(row_cosines(fp32, rows).min())
        if not cosine >= MIN_FP32_COSINE:
            raise GateRefused(
                f"INT8 breaks the {tower} tower: cosine {cosine:.6f} to FP32 in a batch of "
                f"{count}, needed {MIN_FP32_COSINE}."
            )
