"""Real artifacts of a few kilobytes, made without torch: one linear layer a tower, with a manifest
and a golden probe that the agent's own code recorded."""

from __future__ import annotations

import dataclasses
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from rsq.chunks import describe_file
from rsq.encoder import Encoder
from rsq.manifest import (
    ImageSpec,
    Lineage,
    Manifest,
    ProbeSpec,
    RecipeSpec,
    ScoringSpec,
    TextSpec,
    Tower,
    artifact_id,
    encode_manifest,
)
from rsq.probe import Probe, encode_probe
from rsq.providers import CPU_PROVIDER
from rsq.records import ArtifactEvaluation, ArtifactRow, Profile, VersionRow

SIZE = 8
DIMENSION = 16
MAX_LENGTH = 8
WORDS = ("port", "with", "large", "cargo", "ships", "forest", "river", "a", "of", "red", "blue")
SPACE_ID = "5" * 64
SOURCE_DIGEST = "c" * 64
TOLERANCE = 1e-3
CHUNK_BYTES = 4096


@dataclass(frozen=True)
class TinyArtifact:
    id: str
    manifest: Manifest
    manifest_bytes: bytes
    folder: Path  # the files under the manifest's names

    def row(self, *, top1_match: float = 1.0, peak_bytes: int = 1_000_000) -> ArtifactRow:
        return ArtifactRow(
            id=self.id,
            tower=self.manifest.tower,
            variant=self.manifest.variant,
            size_bytes=self.manifest.size_bytes,
            providers=self.manifest.recipe.providers,
            batch_invariant=self.manifest.batch_invariant,
            evaluation=ArtifactEvaluation(
                self.id, "tiny", "d" * 64, {"top1_match": top1_match, "cosine_mean": top1_match}
            ),
            profiles=(profile(self.id, peak_bytes=peak_bytes),),
        )


def profile(
    artifact: str, *, peak_bytes: int, batch: int = 8, p50_ms: float = 1.0, device: str = "cpu"
) -> Profile:
    return Profile(
        artifact_id=artifact,
        device=device,
        provider=CPU_PROVIDER,
        batch=batch,
        workers=1,
        threads=1,
        p50_ms=p50_ms,
        p95_ms=p50_ms * 2,
        per_second=batch / p50_ms * 1000,
        load_ms=5.0,
        peak_bytes=peak_bytes,
        steady_bytes=peak_bytes // 2,
        baseline_bytes=50_000_000,
        source="publisher",
    )


def encode_image(color: tuple[int, int, int], size: int = 12, kind: str = "PNG") -> bytes:
    """A picture with a gradient, so that its channels differ."""
    ramp = np.linspace(0, 1, size)[:, None, None]
    pixels = (np.array(color) * ramp).astype(np.uint8).repeat(size, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


def build_artifact(
    folder: Path,
    tower: Tower,
    variant: str = "fp32",
    *,
    seed: int = 0,
    space_id: str = SPACE_ID,
    padding_bytes: int = 0,
    chunk_bytes: int = CHUNK_BYTES,
    broken_probe: bool = False,
    hidden: int = 0,
) -> TinyArtifact:
    """Writes the artifact's files to `folder`. `padding_bytes` makes the weights file larger,
    `hidden` the model in memory, by a layer of hidden x hidden;
    `chunk_bytes` is smaller than a real artifact's, so that small files have several chunks;
    `broken_probe` records outputs that the artifact does not give."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(_graph(tower, seed, hidden))
    noise = np.random.default_rng(seed).bytes(padding_bytes + 100)
    (folder / "model.onnx.data").write_bytes(noise)
    if tower == "text":
        _write_tokenizer(folder / "tokenizer.json")
    (folder / "probe.json").write_bytes(b"{}")
    draft = _manifest(folder, tower, variant, space_id, chunk_bytes)
    encoder = Encoder(folder, draft)
    images = tuple(encode_image(color) for color in ((255, 0, 0), (0, 200, 30)))
    texts = ("port with large cargo ships", "red forest")
    inputs = (images, ()) if tower == "vision" else ((), texts)
    rows = encoder.embed_images(images) if tower == "vision" else encoder.embed_texts(texts)
    if broken_probe:
        rows = -rows
    (folder / "probe.json").write_bytes(encode_probe(Probe(*inputs, fp32=rows, own=rows)))
    manifest = _manifest(folder, tower, variant, space_id, chunk_bytes)
    data = encode_manifest(manifest)
    return TinyArtifact(artifact_id(data), manifest, data, folder)


def build_version(
    artifacts: list[ArtifactRow], *, model: str = "tiny", number: int = 1
) -> VersionRow:
    return VersionRow(
        model=model,
        version=number,
        space_id=SPACE_ID,
        dimension=DIMENSION,
        created_at="2026-01-01T00:00:00Z",
        licence="Apache-2.0",
        source="tests",
        artifacts=tuple(artifacts),
    )


def _manifest(
    folder: Path, tower: Tower, variant: str, space_id: str, chunk_bytes: int
) -> Manifest:
    roles = {"graph": "model.onnx", "weights": "model.onnx.data", "probe": "probe.json"}
    if tower == "text":
        roles["tokenizer"] = "tokenizer.json"
    image = ImageSpec(SIZE, SIZE, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    manifest = Manifest(
        tower=tower,
        variant=variant,
        format="onnx",
        space_id=space_id,
        dimension=DIMENSION,
        batch_invariant=True,
        scoring=ScoringSpec("sigmoid", 10.0, -5.0),
        recipe=RecipeSpec(variant, (CPU_PROVIDER,)),
        lineage=Lineage(SOURCE_DIGEST, None, {"onnx": onnx.__version__}),
        licence="Apache-2.0",
        probe=ProbeSpec(1 - TOLERANCE, 1 - TOLERANCE),
        files=tuple(
            describe_file(folder / name, role=role, name=name, chunk_bytes=chunk_bytes)
            for role, name in roles.items()
        ),
        image=image if tower == "vision" else None,
    )
    if tower == "text":
        return dataclasses.replace(manifest, text=TextSpec(MAX_LENGTH, pad_id=1, eos_id=1))
    return manifest


def _graph(tower: Tower, seed: int, hidden: int) -> bytes:
    random = np.random.default_rng(seed)
    if tower == "vision":
        name, kind, shape = "pixel_values", TensorProto.FLOAT, ["n", 3, SIZE, SIZE]
        width = 3 * SIZE * SIZE
        to_float = [helper.make_node("Flatten", ["pixel_values"], ["flat"], axis=1)]
    else:
        name, kind, shape = "input_ids", TensorProto.INT64, ["n", MAX_LENGTH]
        width = MAX_LENGTH
        to_float = [helper.make_node("Cast", ["input_ids"], ["flat"], to=TensorProto.FLOAT)]
    layers, last, extra = to_float, "flat", []
    if hidden:
        for number, rows in enumerate((width, hidden)):
            name_of = f"hidden{number}"
            matrix = random.standard_normal((rows, hidden), np.float32)
            extra.append(numpy_helper.from_array(matrix, name_of))
            layers.append(helper.make_node("MatMul", [last, name_of], [f"out{number}"]))
            last = f"out{number}"
        width = hidden
    weight = random.standard_normal((width, DIMENSION)).astype(np.float32)
    bias = random.standard_normal(DIMENSION).astype(np.float32)
    graph = helper.make_graph(
        [*layers, helper.make_node("Gemm", [last, "weight", "bias"], ["embedding"])],
        tower,
        [helper.make_tensor_value_info(name, kind, shape)],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", DIMENSION])],
        [
            *extra,
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(bias, "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    return model.SerializeToString()


def _write_tokenizer(path: Path) -> None:
    vocabulary = {"<unk>": 0, "</s>": 1, **{word: i + 2 for i, word in enumerate(WORDS)}}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(path))
