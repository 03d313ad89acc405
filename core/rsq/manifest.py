"""The manifest of an artifact: canonical JSON whose SHA-256 is the artifact's id.

A manifest says what an artifact is, never what it is called, when it was made or how it measured:
those are records that point at the id. Readers accept unknown fields of their own schema and refuse
a newer schema.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rsq.digest import digest_bytes, is_digest
from rsq.errors import BadManifest
from rsq.json_fields import (
    read_boolean,
    read_deviations,
    read_integer,
    read_number,
    read_string,
    read_triple,
)

SCHEMA = 1
CHUNK_BYTES = 1 << 20
MAX_MANIFEST_BYTES = 16 << 20
MAX_FILES = 64
MAX_FILE_BYTES = 1 << 40
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

Tower = Literal["vision", "text"]
TOWERS: tuple[Tower, ...] = ("vision", "text")


@dataclass(frozen=True)
class ImageSpec:
    """How an image file becomes `pixel_values`, float32 [3, height, width].

    The order is the reference processor's: RGB, resize, centre crop, rescale, normalise.
    """

    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    rescale_factor: float = 1 / 255
    resample: str = "bicubic"  # nearest | bilinear | bicubic | lanczos
    # None: resize straight to (height, width). Otherwise the shorter edge goes to this many pixels,
    # keeping the aspect, and the centre (height, width) is cut out: CLIP's way.
    shortest_edge: int | None = None


@dataclass(frozen=True)
class TextSpec:
    """How a text becomes `input_ids`, int64 [max_length]: always padded to the fixed length,
    because the towers attend to padding and a shorter row gives another vector."""

    max_length: int
    pad_id: int
    eos_id: int
    bos_id: int | None = None
    lower_case: bool = False  # before tokenizing, where tokenizer.json doesn't do it itself


@dataclass(frozen=True)
class ScoringSpec:
    """How a cosine becomes a probability: `sigmoid(scale * cos + bias)`, or a softmax over
    `scale * cos`."""

    kind: Literal["sigmoid", "softmax"]
    scale: float
    bias: float = 0.0


@dataclass(frozen=True)
class FileEntry:
    """One file of an artifact. `name` is a plain file name, never a path. `chunks` are the SHA-256
    digests of its consecutive pieces of `chunk_bytes`, the last one shorter."""

    role: str  # graph | weights | tokenizer | probe
    name: str
    size_bytes: int
    sha256: str
    chunk_bytes: int
    chunks: tuple[str, ...]


@dataclass(frozen=True)
class RecipeSpec:
    """What was done to the tower, and the execution providers the result is meant for."""

    name: str
    providers: tuple[str, ...]
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ProbeSpec:
    """Tolerances of the golden probe, whose inputs and outputs are the file of role `probe`.

    `own_cosine_min`: against this artifact's outputs on the publisher. `fp32_cosine_min`: against
    the FP32 outputs, above what any broken variant reaches.
    """

    own_cosine_min: float
    fp32_cosine_min: float


@dataclass(frozen=True)
class Lineage:
    source_digest: str
    calibration_digest: str | None
    tools: dict[str, str]


@dataclass(frozen=True)
class Manifest:
    tower: Tower
    variant: str
    format: str  # onnx
    space_id: str
    dimension: int
    batch_invariant: bool
    scoring: ScoringSpec
    recipe: RecipeSpec
    lineage: Lineage
    licence: str
    probe: ProbeSpec
    files: tuple[FileEntry, ...]
    image: ImageSpec | None = None
    text: TextSpec | None = None
    schema: int = SCHEMA

    def file(self, role: str) -> FileEntry:
        """The file with `role`. Raises BadManifest when there is none."""
        for entry in self.files:
            if entry.role == role:
                return entry
        raise BadManifest(f"The manifest names no {role!r} file.")

    @property
    def size_bytes(self) -> int:
        """Graph and weights; the tokenizer is a blob shared by artifacts, the probe is tiny."""
        return sum(entry.size_bytes for entry in self.files if entry.role in ("graph", "weights"))


def canonical_json(value: object) -> bytes:
    """Sorted keys, no spaces, UTF-8, no NaN: one byte string for one value."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def encode_manifest(manifest: Manifest) -> bytes:
    """The canonical bytes; fields that are None are left out."""
    return canonical_json({k: v for k, v in asdict(manifest).items() if v is not None})


def artifact_id(manifest_bytes: bytes) -> str:
    return digest_bytes(manifest_bytes)


def decode_manifest(data: bytes) -> Manifest:
    """Reads a manifest and checks everything that later code relies on.

    Raises BadManifest for malformed bytes, a newer schema, a file name that is not plain, a
    repeated file, or a chunk list that does not add up to the size.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise BadManifest(f"The manifest has {len(data)} bytes, over {MAX_MANIFEST_BYTES}.")
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as e:
        raise BadManifest("The manifest is not JSON.") from e
    if not isinstance(fields, dict):
        raise BadManifest("The manifest is not a JSON object.")
    schema = fields.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise BadManifest("The manifest has no schema number.")
    if schema > SCHEMA:
        raise BadManifest(
            f"The manifest has schema {schema}; this rsq reads up to {SCHEMA}. Upgrade rsq."
        )
    manifest = _build(fields)
    _check(manifest)
    return manifest


def _build(fields: dict[str, Any]) -> Manifest:
    try:
        return Manifest(
            tower=fields["tower"],
            variant=read_string(fields, "variant"),
            format=read_string(fields, "format"),
            space_id=read_string(fields, "space_id"),
            dimension=read_integer(fields, "dimension", 1, 1 << 16),
            batch_invariant=read_boolean(fields, "batch_invariant"),
            scoring=_scoring(fields["scoring"]),
            recipe=RecipeSpec(
                name=read_string(fields["recipe"], "name"),
                providers=tuple(str(item) for item in fields["recipe"]["providers"]),
                parameters=dict(fields["recipe"]["parameters"]),
            ),
            lineage=Lineage(
                source_digest=read_string(fields["lineage"], "source_digest"),
                calibration_digest=fields["lineage"].get("calibration_digest"),
                tools={str(k): str(v) for k, v in fields["lineage"]["tools"].items()},
            ),
            licence=read_string(fields, "licence"),
            probe=ProbeSpec(
                own_cosine_min=read_number(fields["probe"], "own_cosine_min"),
                fp32_cosine_min=read_number(fields["probe"], "fp32_cosine_min"),
            ),
            files=tuple(_file_entry(entry) for entry in fields["files"]),
            image=_image(fields["image"]) if fields.get("image") is not None else None,
            text=_text(fields["text"]) if fields.get("text") is not None else None,
            schema=fields["schema"],
        )
    except KeyError as e:
        raise BadManifest(f"The manifest lacks the field {e.args[0]!r}.") from e
    except (TypeError, ValueError, AttributeError) as e:
        raise BadManifest("The manifest has a field of the wrong type.") from e


def _scoring(fields: dict[str, Any]) -> ScoringSpec:
    kind = fields["kind"]
    if kind not in ("sigmoid", "softmax"):
        raise BadManifest(f"Unknown scoring {kind!r}.")
    return ScoringSpec(kind, read_number(fields, "scale"), read_number(fields, "bias"))


def _image(fields: dict[str, Any]) -> ImageSpec:
    edge = fields.get("shortest_edge")
    return ImageSpec(
        height=read_integer(fields, "height", 1, 8192),
        width=read_integer(fields, "width", 1, 8192),
        mean=read_triple(fields["mean"]),
        std=read_deviations(fields["std"]),
        rescale_factor=read_number(fields, "rescale_factor"),
        resample=read_string(fields, "resample"),
        shortest_edge=None if edge is None else read_integer(fields, "shortest_edge", 1, 8192),
    )


def _text(fields: dict[str, Any]) -> TextSpec:
    return TextSpec(
        max_length=read_integer(fields, "max_length", 1, 8192),
        pad_id=read_integer(fields, "pad_id", 0, 1 << 31),
        eos_id=read_integer(fields, "eos_id", 0, 1 << 31),
        bos_id=None if fields.get("bos_id") is None else read_integer(fields, "bos_id", 0, 1 << 31),
        lower_case=read_boolean(fields, "lower_case"),
    )


def _file_entry(fields: dict[str, Any]) -> FileEntry:
    return FileEntry(
        role=read_string(fields, "role"),
        name=read_string(fields, "name"),
        size_bytes=read_integer(fields, "size_bytes", 0, MAX_FILE_BYTES),
        sha256=read_string(fields, "sha256"),
        chunk_bytes=read_integer(fields, "chunk_bytes", 4096, 16 << 20),
        chunks=tuple(str(chunk) for chunk in fields["chunks"]),
    )


def _check(manifest: Manifest) -> None:
    if manifest.tower not in TOWERS:
        raise BadManifest(f"Unknown tower {str(manifest.tower)[:40]!r}.")
    if (manifest.image is None) == (manifest.tower == "vision"):
        raise BadManifest("A vision tower, and only it, has an image specification.")
    if (manifest.text is None) == (manifest.tower == "text"):
        raise BadManifest("A text tower, and only it, has a text specification.")
    if not 1 <= len(manifest.files) <= MAX_FILES:
        raise BadManifest(f"The manifest names {len(manifest.files)} files.")
    names = [entry.name for entry in manifest.files]
    if len(set(names)) != len(names):
        raise BadManifest("The manifest names one file twice.")
    for digest in (manifest.space_id, manifest.lineage.source_digest):
        if not is_digest(digest):
            raise BadManifest("The manifest holds something else where a digest belongs.")
    for entry in manifest.files:
        _check_file(entry)


def _check_file(entry: FileEntry) -> None:
    if not _NAME.fullmatch(entry.name):
        raise BadManifest(f"{entry.name[:80]!r} is not a plain file name.")
    count = -(-entry.size_bytes // entry.chunk_bytes)
    if len(entry.chunks) != count:
        raise BadManifest(
            f"{entry.name!r} lists {len(entry.chunks)} chunks; its size makes {count}."
        )
    if not is_digest(entry.sha256) or not all(is_digest(chunk) for chunk in entry.chunks):
        raise BadManifest(f"{entry.name!r} has a malformed digest.")
