"""Artifacts broken in ways that answer without an error message: evaluation or the gates refuse
each, whichever sees it first."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from checkpoints import write_siglip_checkpoint

from rsq.errors import GateRefused
from rsq.manifest import Tower
from rsq.records import ArtifactEvaluation, ArtifactRow
from rsq_server.build.artifact import BuiltArtifact
from rsq_server.build.construction import build_artifacts, export_towers, read_facts
from rsq_server.build.evaluate import evaluate
from rsq_server.build.external_data import open_model, save_model
from rsq_server.build.load import load_encoder
from rsq_server.datasets.generated import generated_set
from rsq_server.gates import judge
from rsq_server.progress import SilentProgress
from rsq_server.recipes import RECIPES, find_recipes

# By (tower, variant).
Artifacts = dict[tuple[str, str], BuiltArtifact]


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    checkpoint = write_siglip_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny-siglip")
    work = tmp_path_factory.mktemp("work")
    encoder = load_encoder(checkpoint, work_folder=work)
    export_towers(encoder, work, SilentProgress())
    facts = read_facts(encoder, "c" * 64, work)
    recipes = find_recipes(["fp32", "int8"], RECIPES)
    calibration = generated_set("calibration", per_class=2)
    built = build_artifacts(recipes, facts, calibration, work, SilentProgress())
    return {(artifact.tower, artifact.variant): artifact for artifact in built.artifacts}


@pytest.fixture
def artifacts(healthy: Artifacts, tmp_path: Path) -> Artifacts:
    """Copies that a test may break."""
    return {
        key: dataclasses.replace(
            artifact, folder=shutil.copytree(artifact.folder, tmp_path / "-".join(key))
        )
        for key, artifact in healthy.items()
    }


def _refusals(artifacts: Artifacts) -> dict[str, str]:
    """What the gates say of the refused ones, by tower and variant; raises as `evaluate` does."""
    built = list(artifacts.values())
    dataset = generated_set("evaluation", per_class=2)
    found = evaluate(built, dataset, workers=2, advance=lambda done, total: None)
    rows = [
        ArtifactRow(
            id=artifact.id,
            tower=artifact.tower,
            variant=artifact.variant,
            size_bytes=1,
            providers=(),
            batch_invariant=True,
            evaluation=ArtifactEvaluation(artifact.id, "d", "d" * 64, found.artifacts[artifact.id]),
        )
        for artifact in built
    ]
    verdicts = judge(rows)
    return {
        f"{row.tower} {row.variant}": verdicts[row.id].reason
        for row in rows
        if verdicts[row.id].is_refused
    }


def _rewrite(artifact: BuiltArtifact, change: Callable[[ir.Model], None]) -> None:
    model = open_model(artifact.folder)
    change(model)
    save_model(model, artifact.folder / "changed")
    for path in (artifact.folder / "changed").iterdir():
        shutil.copyfile(path, artifact.folder / path.name)


def _respecify(artifacts: Artifacts, tower: Tower, **fields: Any) -> None:
    """Changes how the INT8 artifact's manifest says that inputs are prepared."""
    artifact = artifacts[tower, "int8"]
    part = "image" if tower == "vision" else "text"
    spec = dataclasses.replace(getattr(artifact.manifest, part), **fields)
    manifest = dataclasses.replace(artifact.manifest, **{part: spec})
    artifacts[tower, "int8"] = dataclasses.replace(artifact, manifest=manifest)


def test_the_pair_that_the_others_are_broken_from_is_refused_nothing(artifacts: Artifacts) -> None:
    assert _refusals(artifacts) == {}


def test_swapped_towers_are_refused(artifacts: Artifacts) -> None:
    vision, text = (artifacts[tower, "int8"].folder for tower in ("vision", "text"))
    for name in ("model.onnx", "model.onnx.data"):
        aside = (vision / name).read_bytes()
        (vision / name).write_bytes((text / name).read_bytes())
        (text / name).write_bytes(aside)
    with pytest.raises(GateRefused, match="vision int8 is broken"):
        _refusals(artifacts)


@pytest.mark.parametrize("tower", ["vision", "text"])
def test_the_towers_outputs_swapped_between_inputs_are_refused(
    artifacts: Artifacts, tower: Tower
) -> None:
    """The features come in reverse order: every norm, mean and spread is right."""

    def reverse(model: ir.Model) -> None:
        backwards = ir.tensor(np.arange(31, -1, -1), name="backwards")
        _append(model, "Gather", backwards, {"axis": 1})

    _rewrite(artifacts[tower, "int8"], reverse)
    assert "mean cosine to FP32" in _refusals(artifacts)[f"{tower} int8"]


@pytest.mark.parametrize("tower", ["vision", "text"])
def test_constant_outputs_are_refused(artifacts: Artifacts, tower: Tower) -> None:
    encoder = artifacts[tower, "fp32"].open(threads=1)
    if tower == "vision":
        images = np.random.default_rng(0).standard_normal((8, 3, 32, 32), np.float32)
        rows = encoder.embed_prepared(images)
    else:
        rows = encoder.embed_texts(["river", "port", "a forest", "ships"])
    mean = rows.mean(axis=0)  # the most harmless constant there is

    def freeze(model: ir.Model) -> None:
        _append(model, "Mul", ir.tensor(np.zeros(32, np.float32), name="nothing"), {})
        _append(model, "Add", ir.tensor(mean, name="always_this"), {})

    _rewrite(artifacts[tower, "int8"], freeze)
    reason = _refusals(artifacts)[f"{tower} int8"]
    assert "nearly constant" in reason or "mean cosine" in reason


@pytest.mark.parametrize("tower", ["vision", "text"])
def test_a_scale_that_is_nan_is_refused(artifacts: Artifacts, tower: Tower) -> None:
    def spoil(model: ir.Model) -> None:
        name = next(name for name in sorted(model.graph.initializers) if name.endswith("_scale"))
        tensor = model.graph.initializers[name].const_value
        assert tensor is not None
        values = np.full_like(tensor.numpy(), np.nan)
        model.graph.initializers[name].const_value = ir.tensor(values, name=name)

    _rewrite(artifacts[tower, "int8"], spoil)
    with pytest.raises(GateRefused, match=f"{tower} int8 is broken.*not finite"):
        _refusals(artifacts)


@pytest.mark.parametrize(
    ("tower", "fields"),
    [
        ("vision", {"mean": (0.48145466, 0.4578275, 0.40821073)}),
        ("vision", {"std": (0.26862954, 0.26130258, 0.27577711)}),
        ("vision", {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}),
        ("vision", {"mean": (0.5, 0.5, 0.501)}),  # too little for any figure to show
        ("text", {"max_length": 8}),
        ("text", {"max_length": 32}),
        ("text", {"pad_id": 0}),
    ],
)
def test_wrong_statistics_and_wrong_padding_are_refused(
    artifacts: Artifacts, tower: Tower, fields: dict[str, Any]
) -> None:
    _respecify(artifacts, tower, **fields)
    with pytest.raises(GateRefused, match=f"{tower} int8 has another .* than FP32"):
        _refusals(artifacts)


def _append(
    model: ir.Model, kind: str, tensor: ir.TensorProtocol, attributes: dict[str, int]
) -> None:
    """Puts a node with `tensor` as its second input behind the output."""
    output = model.graph.outputs[0]
    value = ir.Value(name=tensor.name, const_value=tensor)
    model.graph.register_initializer(value)
    name, output.name = output.name, f"{output.name}_before_{kind}"
    node = ir.node(kind, [output, value], attributes=attributes)
    node.outputs[0].name, node.outputs[0].type = name, output.type
    node.outputs[0].shape = output.shape
    model.graph.append(node)
    model.graph.outputs[0] = node.outputs[0]
