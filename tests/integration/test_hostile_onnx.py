"""A graph may name the file of its weights; it must not reach beyond its own folder by that."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tiny_artifacts import TinyArtifact, build_artifact

from rsq.encoder import Encoder
from rsq.errors import EnvironmentFault

SECRET = np.full(64, 7, "<f4").tobytes()


@pytest.fixture
def artifact(tmp_path: Path) -> TinyArtifact:
    (tmp_path / "secret").write_bytes(SECRET)
    return build_artifact(tmp_path / "vision", "vision")


def take_weights_from(graph: Path, location: str, **place: int) -> None:
    """Adds an initializer whose values lie at `location`, and uses it."""
    model = onnx.load(graph, load_external_data=False)
    tensor = TensorProto(
        name="foreign", data_type=TensorProto.FLOAT, dims=[16], data_location=TensorProto.EXTERNAL
    )
    for key, value in {"location": location, **place}.items():
        tensor.external_data.add(key=key, value=str(value))
    model.graph.initializer.append(tensor)
    (output,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = ["inner" if name == output.name else name for name in node.output]
    model.graph.node.append(helper.make_node("Add", ["inner", "foreign"], [output.name]))
    graph.write_bytes(model.SerializeToString())


def link(folder: Path) -> None:
    os.symlink(folder.parent / "secret", folder / "linked")


@pytest.mark.parametrize(
    ("location", "place", "prepare"),
    [
        ("../secret", {}, None),
        ("/etc/hostname", {}, None),
        ("linked", {}, link),
        ("model.onnx.data", {"offset": 1 << 40}, None),
        ("model.onnx.data", {"length": 1 << 40}, None),
        ("*/_ORT_MEM_ADDR_/*", {"offset": 4096, "length": 64}, None),
    ],
    ids=["upwards", "absolute", "link", "offset beyond", "length beyond", "memory address"],
)
def test_weights_from_elsewhere_are_refused(
    artifact: TinyArtifact,
    location: str,
    place: dict[str, int],
    prepare: Callable[[Path], None] | None,
) -> None:
    if prepare is not None:
        prepare(artifact.folder)
    take_weights_from(artifact.folder / "model.onnx", location, **place)
    with pytest.raises(EnvironmentFault, match="can't load this artifact"):
        Encoder(artifact.folder, artifact.manifest)


def test_weights_from_a_file_of_the_artifact_are_taken(artifact: TinyArtifact) -> None:
    (artifact.folder / "more").write_bytes(SECRET)
    take_weights_from(artifact.folder / "model.onnx", "more")
    Encoder(artifact.folder, artifact.manifest)
