"""A version of made-up bytes with both towers in two variants, and its blobs in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rsq.digest import digest_bytes
from rsq.errors import NotFound
from rsq.manifest import (
    FileEntry,
    ImageSpec,
    Lineage,
    Manifest,
    ProbeSpec,
    RecipeSpec,
    ScoringSpec,
    TextSpec,
    Tower,
    encode_manifest,
)
from rsq.records import ArtifactEvaluation, ArtifactRow, PairEvaluation, Profile, VersionRow

CPU = "CPUExecutionProvider"
TOKENIZER = b'{"words": []}'
DETAILS = b'{"report": true}'
CHUNK_BYTES = 4096
HALF = (0.5, 0.5, 0.5)


@dataclass
class MemoryBlobs:
    """What rsq.version_files.StoredBlobs asks for, on a dictionary that tests may change."""

    contents: dict[str, bytes] = field(default_factory=dict)

    def add(self, data: bytes) -> str:
        digest = digest_bytes(data)
        self.contents[digest] = data
        return digest

    def size(self, digest: str) -> int:
        return len(self._data(digest))

    def read(self, digest: str, offset: int, length: int) -> bytes:
        return self._data(digest)[offset : offset + length]

    def _data(self, digest: str) -> bytes:
        if digest not in self.contents:
            raise NotFound(f"There is no blob {digest}.")
        return self.contents[digest]


def make_stored_version(blobs: MemoryBlobs, *, weights_bytes: int = 9000) -> VersionRow:
    """`tiny:3` with vision and text in fp32 and int8, all its blobs in `blobs`. The text artifacts
    share a tokenizer."""
    rows = tuple(
        _add_artifact(blobs, tower, variant, weights_bytes)
        for tower in ("vision", "text")
        for variant in ("fp32", "int8")
    )
    return VersionRow(
        model="tiny",
        version=3,
        space_id="5" * 64,
        dimension=16,
        created_at="2026-01-02T03:04:05Z",
        licence="Apache-2.0",
        source="tests",
        artifacts=rows,
        pairs=tuple(
            PairEvaluation(vision.id, text.id, "tiny", "d" * 64, {"top1_match": 0.5})
            for vision in rows[:2]
            for text in rows[2:]
        ),
        aliases=("production",),
        source_digest="c" * 64,
        details_digest=blobs.add(DETAILS),
    )


def make_profile(artifact_id: str, *, source: str = "publisher", batch: int = 1) -> Profile:
    return Profile(
        artifact_id=artifact_id,
        device="cpu",
        provider=CPU,
        batch=batch,
        workers=1,
        threads=1,
        p50_ms=1.5,
        p95_ms=2.5,
        per_second=600.0,
        load_ms=5.0,
        peak_bytes=1000,
        steady_bytes=500,
        baseline_bytes=50,
        source=source,
    )


def _add_artifact(
    blobs: MemoryBlobs, tower: Tower, variant: str, weights_bytes: int
) -> ArtifactRow:
    seed = f"{tower} {variant} ".encode()
    contents: dict[tuple[str, str], bytes] = {
        ("graph", "model.onnx"): seed + b"graph",
        ("weights", "model.onnx.data"): (seed * (weights_bytes // len(seed) + 1))[:weights_bytes],
        ("probe", "probe.json"): seed + b"probe",
    }
    if tower == "text":
        contents[("tokenizer", "tokenizer.json")] = TOKENIZER
    manifest = _manifest(tower, variant, contents)
    for data in contents.values():
        blobs.add(data)
    identity = blobs.add(encode_manifest(manifest))
    return ArtifactRow(
        id=identity,
        tower=tower,
        variant=variant,
        size_bytes=manifest.size_bytes,
        providers=(CPU,),
        batch_invariant=True,
        evaluation=ArtifactEvaluation(identity, "tiny", "d" * 64, {"top1_match": 0.75}),
        profiles=(make_profile(identity), make_profile(identity, source="node:1")),
    )


def _manifest(tower: Tower, variant: str, contents: Mapping[tuple[str, str], bytes]) -> Manifest:
    return Manifest(
        tower=tower,
        variant=variant,
        format="onnx",
        space_id="5" * 64,
        dimension=16,
        batch_invariant=True,
        scoring=ScoringSpec("sigmoid", 10.0, -5.0),
        recipe=RecipeSpec(variant, (CPU,)),
        lineage=Lineage("c" * 64, None, {}),
        licence="Apache-2.0",
        probe=ProbeSpec(0.999, 0.99),
        files=tuple(_entry(role, name, data) for (role, name), data in contents.items()),
        image=ImageSpec(8, 8, HALF, HALF) if tower == "vision" else None,
        text=TextSpec(8, pad_id=1, eos_id=1) if tower == "text" else None,
    )


def _entry(role: str, name: str, data: bytes) -> FileEntry:
    chunks = tuple(
        digest_bytes(data[start : start + CHUNK_BYTES])
        for start in range(0, len(data), CHUNK_BYTES)
    )
    return FileEntry(role, name, len(data), digest_bytes(data), CHUNK_BYTES, chunks)
