"""The artifacts of `tiny_artifacts` as exported torch programs: the same weights, tokenizer and
golden probe, so both formats must give the same vectors."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from tiny_artifacts import DIMENSION, MAX_LENGTH, SIZE, TinyArtifact, build_artifact

from rsq.chunks import describe_file
from rsq.manifest import RecipeSpec, Tower, artifact_id, encode_manifest
from rsq.providers import TORCH_CPU, TORCH_CUDA
from rsq.torch_tower import PROGRAM_NAME, TORCH_FORMAT


class LinearTower(torch.nn.Module):
    """What the ONNX graph of a tiny artifact computes."""

    def __init__(self, graph: Path) -> None:
        super().__init__()
        tensors = {
            tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
            for tensor in onnx.load(graph).graph.initializer
        }
        self.register_buffer("weight", tensors["weight"].T.contiguous())
        self.register_buffer("bias", tensors["bias"])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        rows = inputs.flatten(1).to(torch.float32)
        return torch.nn.functional.linear(rows, self.weight, self.bias)


def example_inputs(tower: Tower, count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    if tower == "vision":
        return torch.randn((count, 3, SIZE, SIZE), generator=generator)
    return torch.randint(0, 10, (count, MAX_LENGTH), generator=generator)


def save_program(module: torch.nn.Module, example: torch.Tensor, path: Path) -> None:
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(module, (example,), dynamic_shapes=shapes)
    program._example_inputs = None
    graph = program.graph
    for node in list(graph.nodes):
        node.meta = {"val": node.meta["val"]} if "val" in node.meta else {}
        if node.target is torch.ops.aten._assert_tensor_metadata.default:
            graph.erase_node(node)
    program.graph_module.recompile()
    torch.export.save(program, path)


def build_torch_artifact(
    folder: Path,
    tower: Tower,
    variant: str = "int8-torch",
    *,
    providers: tuple[str, ...] = (TORCH_CUDA, TORCH_CPU),
) -> TinyArtifact:
    """Writes the artifact's files to a new `folder`, and those of its ONNX twin below `onnx`."""
    twin = build_artifact(folder / "onnx", tower, variant)
    save_program(
        LinearTower(twin.folder / "model.onnx").eval(),
        example_inputs(tower),
        folder / PROGRAM_NAME,
    )
    roles = {"graph": PROGRAM_NAME, "probe": "probe.json"}
    if tower == "text":
        roles["tokenizer"] = "tokenizer.json"
    for name in roles.values():
        if name != PROGRAM_NAME:
            shutil.copyfile(twin.folder / name, folder / name)
    manifest = dataclasses.replace(
        twin.manifest,
        format=TORCH_FORMAT,
        recipe=RecipeSpec(variant, providers),
        files=tuple(
            describe_file(folder / name, role=role, name=name, chunk_bytes=4096)
            for role, name in roles.items()
        ),
    )
    assert manifest.dimension == DIMENSION
    data = encode_manifest(manifest)
    return TinyArtifact(artifact_id(data), manifest, data, folder)
