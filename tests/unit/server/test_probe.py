from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tiny_artifacts import build_artifact

from rsq.errors import GateRefused
from rsq.images import decode_image
from rsq.manifest import ImageSpec, TextSpec, Tower
from rsq.probe import decode_probe, encode_probe, judge, replay
from rsq.similarity import row_cosines
from rsq_server.build.artifact import BuiltArtifact
from rsq_server.build.breaks import break_images, break_outputs, break_texts
from rsq_server.build.probe import ProbeReference, prepare_reference, record_probe
from rsq_server.build.probe_inputs import PROBE_TEXTS, probe_images

TOWERS: tuple[Tower, ...] = ("vision", "text")


def _artifact(folder: Path, tower: Tower, *, seed: int = 0) -> BuiltArtifact:
    built = build_artifact(folder, tower, seed=seed)
    return BuiltArtifact(built.folder, built.manifest)


def _scale_weights(artifact: BuiltArtifact, *, noise: float, bias: float = 1.0) -> BuiltArtifact:
    """The artifact with noise on its weights, as a quantization would leave."""
    path = artifact.folder / "model.onnx"
    model = onnx.load(path)
    random = np.random.default_rng(7)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        factor = bias if tensor.name == "bias" else 1 + noise * random.standard_normal(values.shape)
        tensor.CopyFrom(numpy_helper.from_array((values * factor).astype("f4"), tensor.name))
    onnx.save(model, path)
    return artifact


def test_probe_images_are_the_same_each_time_small_and_of_every_kind() -> None:
    images = probe_images()
    assert probe_images() == images
    assert sum(map(len, images)) < 120_000
    opened = [Image.open(io.BytesIO(data)) for data in images]
    assert {(image.format, image.mode) for image in opened} == {
        ("JPEG", "RGB"),
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
        ("PNG", "RGB"),
        ("PNG", "RGBA"),
        ("PNG", "P"),
        ("PNG", "I;16"),
        ("WEBP", "RGB"),
    }
    for data in images:
        assert np.asarray(decode_image(data)).std() > 10  # none is a flat surface


def test_probe_texts_walk_case_digits_scripts_and_truncation() -> None:
    assert len(set(PROBE_TEXTS)) == 8
    assert any(text != text.lower() for text in PROBE_TEXTS)
    assert any(character.isdigit() for text in PROBE_TEXTS for character in text)
    assert any(not text.isascii() for text in PROBE_TEXTS)
    assert max(map(len, PROBE_TEXTS)) > 1000


@pytest.mark.parametrize("tower", TOWERS)
def test_a_healthy_artifact_passes_its_probe_and_every_break_fails_it(
    tmp_path: Path, tower: Tower
) -> None:
    reference = prepare_reference(_artifact(tmp_path / "fp32", tower))
    variant = _scale_weights(_artifact(tmp_path / "variant", tower), noise=0.02)
    probe, spec = record_probe(variant, reference)
    assert -1 <= reference.closest_cosine < spec.fp32_cosine_min < 1
    encoder = variant.open(threads=2)
    judge(replay(encoder, decode_probe(encode_probe(probe))), spec)
    manifest = variant.manifest
    if tower == "vision":
        assert manifest.image is not None
        inputs = np.stack([encoder.prepare_image(data) for data in probe.images])
        broken = [(n, encoder.embed_prepared(w)) for n, w in break_images(inputs, manifest.image)]
    else:
        assert manifest.text is not None
        ids = encoder.prepare_texts(probe.texts)
        broken = [(n, encoder.embed_prepared(w)) for n, w in break_texts(ids, manifest.text)]
    assert len(broken) >= 4
    for name, rows in [*broken, *break_outputs(probe.own)]:
        assert float(row_cosines(rows, probe.fp32).min()) < spec.fp32_cosine_min, name


def test_recording_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    artifact = _artifact(tmp_path, "vision")
    found = [record_probe(artifact, prepare_reference(artifact)) for _ in range(2)]
    assert encode_probe(found[0][0]) == encode_probe(found[1][0])
    assert found[0][1] == found[1][1]


def test_a_variant_no_closer_to_fp32_than_a_broken_pipeline_is_refused(tmp_path: Path) -> None:
    reference = prepare_reference(_artifact(tmp_path / "fp32", "vision"))
    other = _artifact(tmp_path / "other", "vision", seed=1)
    with pytest.raises(GateRefused, match=r"vision fp32 is no closer to FP32 .* than a broken"):
        record_probe(other, reference)


def test_an_artifact_that_returns_nan_is_refused_by_name(tmp_path: Path) -> None:
    broken = _scale_weights(_artifact(tmp_path, "text"), noise=0.0, bias=float("nan"))
    with pytest.raises(GateRefused, match="text fp32 is broken"):
        prepare_reference(broken)


def test_a_checkpoint_that_ignores_its_input_is_refused(tmp_path: Path) -> None:
    artifact = _artifact(tmp_path, "vision")
    model = onnx.load(artifact.folder / "model.onnx")
    for tensor in model.graph.initializer:
        if tensor.name == "weight":
            zeros = np.zeros_like(numpy_helper.to_array(tensor))
            tensor.CopyFrom(numpy_helper.from_array(zeros, "weight"))
    onnx.save(model, artifact.folder / "model.onnx")
    with pytest.raises(GateRefused, match="same vector whatever it is shown"):
        prepare_reference(artifact)


def test_an_artifact_that_depends_on_its_batch_mates_is_refused(tmp_path: Path) -> None:
    artifact = _artifact(tmp_path, "vision")
    reference = prepare_reference(artifact)
    path = artifact.folder / "model.onnx"
    model = onnx.load(path)
    # Takes the batch's mean off the inputs: harmless alone to nothing, so a tenth of it.
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.1), "tenth"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), "axis"))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(
        [
            helper.make_node("ReduceMean", ["pixel_values", "axis"], ["mean"], keepdims=1),
            helper.make_node("Mul", ["mean", "tenth"], ["part"]),
            helper.make_node("Sub", ["pixel_values", "part"], ["centred"]),
        ]
    )
    nodes[0].input[0] = "centred"
    model.graph.node.extend(nodes)
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    onnx.save(model, path)
    with pytest.raises(GateRefused, match="other vectors in a batch than alone"):
        record_probe(artifact, reference)


def test_a_mistake_that_a_model_cannot_see_is_not_held_against_it(tmp_path: Path) -> None:
    artifact = _artifact(tmp_path, "text")
    # As CLIP: a padding that the tower never reads. The weights of the last places are zero.
    model = onnx.load(artifact.folder / "model.onnx")
    for tensor in model.graph.initializer:
        if tensor.name == "weight":
            values = numpy_helper.to_array(tensor).copy()
            values[1:] = 0
            tensor.CopyFrom(numpy_helper.from_array(values, "weight"))
    onnx.save(model, artifact.folder / "model.onnx")
    reference = prepare_reference(artifact)
    assert reference.closest_break != "another padding id"
    assert reference.closest_cosine <= 0.999
    record_probe(artifact, reference)


def test_breaks_do_what_their_names_say() -> None:
    inputs = np.random.default_rng(0).random((2, 3, 4, 4), np.float32)
    spec = ImageSpec(4, 4, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    broken = dict(break_images(inputs, spec))
    assert np.array_equal(broken["channels in BGR order"], inputs[:, ::-1])
    assert np.allclose(broken["another model's mean and std"], (inputs - 0.5) / 0.5)
    wide = dict(break_images(inputs[:, :, :2], dataclasses.replace(spec, height=2)))
    assert "rows and columns exchanged" not in wide

    siglip = np.array([[5, 6, 1, 1, 1, 1], [7, 6, 5, 9, 8, 1]])  # pad and eos are both 1
    texts = dict(break_texts(siglip, TextSpec(6, pad_id=1, eos_id=1)))
    assert texts["another padding id"].tolist() == [[5, 6, 1, 0, 0, 0], [7, 6, 5, 9, 8, 1]]
    assert texts["texts cut at half the length"].tolist() == [
        [5, 6, 1, 1, 1, 1],
        [7, 6, 5, 1, 1, 1],
    ]
    assert texts["another vocabulary"].tolist() == [[9, 8, 1, 1, 1, 1], [7, 8, 9, 5, 6, 1]]
    clip = np.array([[3, 5, 4, 0, 0, 0]])
    texts = dict(break_texts(clip, TextSpec(6, pad_id=0, eos_id=4, bos_id=3)))
    assert texts["another padding id"].tolist() == [[3, 5, 4, 1, 1, 1]]


def test_a_reference_without_separation_names_the_break(tmp_path: Path) -> None:
    artifact = _artifact(tmp_path, "vision")
    found = prepare_reference(artifact)
    narrow = ProbeReference(found.images, found.texts, found.fp32, "a mirrored image", 0.9995)
    with pytest.raises(GateRefused, match=r"a mirrored image \(0\.999500\)"):
        record_probe(artifact, narrow)
