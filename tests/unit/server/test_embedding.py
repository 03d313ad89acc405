from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image
from tiny_artifacts import build_artifact

from rsq.encoder import Encoder
from rsq.errors import BadSource, EnvironmentFault, GateRefused
from rsq.manifest import ImageSpec, ScoringSpec, TextSpec, Tower
from rsq_server.build.artifact import BuiltArtifact
from rsq_server.build.embedding import embed_each, open_encoders, prepare_images
from rsq_server.datasets.image_text_set import Sample

TEXTS = ("red port", "blue river of forest", "cargo ships with a large port of red")


def _artifact(folder: Path, tower: Tower, variant: str, *, seed: int = 0) -> BuiltArtifact:
    built = build_artifact(folder / f"{tower}-{variant}", tower, variant, seed=seed)
    return BuiltArtifact(built.folder, built.manifest)


def _change(artifact: BuiltArtifact, **fields: Any) -> BuiltArtifact:
    return dataclasses.replace(artifact, manifest=dataclasses.replace(artifact.manifest, **fields))


def _prepare(encoder: Encoder, part: slice) -> NDArray[Any]:
    return encoder.prepare_texts(TEXTS[part])


@pytest.fixture
def texts(tmp_path: Path) -> list[BuiltArtifact]:
    return [_artifact(tmp_path, "text", v, seed=s) for v, s in (("fp32", 0), ("int8", 1))]


def test_each_artifact_embeds_every_input_once_in_order(texts: list[BuiltArtifact]) -> None:
    done: list[int] = []
    rows = embed_each(open_encoders(texts, TEXTS), 3, 2, _prepare, 2, done.append)
    assert done == [2, 3]
    for artifact in texts:
        expected = np.concatenate([artifact.open(threads=1).embed_texts([t]) for t in TEXTS])
        np.testing.assert_allclose(rows[artifact.id], expected, atol=1e-6)


def test_the_encoders_come_in_the_artifacts_order_whichever_is_first(
    texts: list[BuiltArtifact],
) -> None:
    encoders = open_encoders(texts[::-1], TEXTS)
    assert [artifact.variant for artifact, _ in encoders] == ["int8", "fp32"]


@pytest.mark.parametrize(
    ("tower", "change", "words"),
    [
        ("vision", {"space_id": "6" * 64}, "space"),
        ("vision", {"dimension": 17}, "dimension"),
        ("vision", {"scoring": ScoringSpec("sigmoid", 20.0)}, "scoring"),
        ("vision", {"image": ImageSpec(8, 8, (0.4, 0.5, 0.5), (0.5,) * 3)}, "image preprocessing"),
        ("vision", {"image": ImageSpec(8, 8, (0.5,) * 3, (0.5, 0.5, 0.6))}, "image preprocessing"),
        ("text", {"text": TextSpec(6, pad_id=1, eos_id=1)}, "text specification"),
        ("text", {"text": TextSpec(8, pad_id=0, eos_id=1)}, "text specification"),
    ],
)
def test_an_artifact_that_reads_otherwise_than_fp32_is_refused_by_name(
    tmp_path: Path, tower: Tower, change: dict[str, Any], words: str
) -> None:
    pair = [_artifact(tmp_path, tower, variant) for variant in ("fp32", "int8")]
    open_encoders(pair, TEXTS)
    with pytest.raises(GateRefused, match=f"{tower} int8 has another {words} than FP32"):
        open_encoders([pair[0], _change(pair[1], **change)], TEXTS)


def test_another_tokenizer_is_refused_by_name(texts: list[BuiltArtifact]) -> None:
    path = texts[1].folder / "tokenizer.json"
    path.write_text(path.read_text().replace('"red"', '"unheard"'))
    with pytest.raises(GateRefused, match="text int8 has another tokenizer"):
        open_encoders(texts, TEXTS)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_what_cant_be_opened_is_the_variants_fault_only_where_fp32_opens(
    texts: list[BuiltArtifact], name: str
) -> None:
    (texts[1].folder / name).write_bytes(b"nothing of the kind")
    with pytest.raises(GateRefused, match="text int8 can't be opened"):
        open_encoders(texts, TEXTS)
    (texts[0].folder / "model.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(EnvironmentFault):
        open_encoders(texts, TEXTS)


def test_vectors_of_another_length_than_the_manifest_says_are_refused(tmp_path: Path) -> None:
    artifact = _change(_artifact(tmp_path, "text", "fp32"), dimension=12)
    with pytest.raises(GateRefused, match="vectors have 16 numbers, where its manifest says 12"):
        embed_each(open_encoders([artifact], TEXTS), 3, 2, _prepare, 1, lambda done: None)


def test_nan_is_refused_by_name(texts: list[BuiltArtifact]) -> None:
    path = texts[1].folder / "model.onnx"
    model = onnx.load(path)
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "bias")
    bias.CopyFrom(numpy_helper.from_array(np.full(16, np.nan, np.float32), "bias"))
    onnx.save(model, path)
    with pytest.raises(GateRefused, match="text int8 is broken"):
        embed_each(open_encoders(texts, TEXTS), 3, 2, _prepare, 2, lambda done: None)


def test_images_are_prepared_as_the_node_does_and_a_broken_one_is_named(tmp_path: Path) -> None:
    encoder = _artifact(tmp_path, "vision", "fp32").open(threads=1)
    buffer = io.BytesIO()
    Image.new("RGB", (9, 5), (200, 10, 60)).save(buffer, "PNG")
    prepared = prepare_images(encoder, [Sample(buffer.getvalue(), None, ())] * 2)
    assert prepared.shape == (2, 3, 8, 8)
    assert np.array_equal(prepared[0], encoder.prepare_image(buffer.getvalue()))
    path = tmp_path / "broken.png"
    path.write_bytes(buffer.getvalue()[:40])
    with pytest.raises(BadSource, match=r"broken\.png can't be used"):
        prepare_images(encoder, [Sample(path, None, ())])
