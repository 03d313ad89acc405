"""Small well-formed drafts and records for the registry's tests."""

from __future__ import annotations

from dataclasses import replace

from rsq.digest import digest_bytes
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
    artifact_id,
    encode_manifest,
)
from rsq.records import ArtifactEvaluation, NodeReport, PairEvaluation, Profile
from rsq_registry.blobs import Blobs
from rsq_registry.drafts import VersionDraft

SPACE = digest_bytes(b"space")
SOURCE = digest_bytes(b"source")
DATASET = digest_bytes(b"data set")
DIMENSION = 4
TOKENIZER = b"tokenizer shared by text artifacts"


def store_artifact(blobs: Blobs, tower: Tower, variant: str, content: str = "") -> bytes:
    """Puts an artifact's files into `blobs` and returns its manifest's bytes."""
    graph = f"graph {tower} {variant} {content}".encode()
    contents = [("graph", "model.onnx", graph)]
    if tower == "text":
        contents.append(("tokenizer", "tokenizer.json", TOKENIZER))
    files = []
    for role, name, data in contents:
        digest = blobs.put_bytes(data)
        files.append(FileEntry(role, name, len(data), digest, 1 << 20, (digest,)))
    return encode_manifest(
        Manifest(
            tower=tower,
            variant=variant,
            format="onnx",
            space_id=SPACE,
            dimension=DIMENSION,
            batch_invariant=variant != "int8-tensor",
            scoring=ScoringSpec("sigmoid", 100.0, -10.0),
            recipe=RecipeSpec(variant, ("CPUExecutionProvider", "CUDAExecutionProvider")),
            lineage=Lineage(SOURCE, None, {"onnx": "1"}),
            licence="Apache-2.0",
            probe=ProbeSpec(0.999, 0.99),
            files=tuple(files),
            image=ImageSpec(8, 8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)) if tower == "vision" else None,
            text=TextSpec(8, 0, 1) if tower == "text" else None,
        )
    )


def make_profile(identity: str, *, batch: int = 1, source: str = "publisher") -> Profile:
    return Profile(
        artifact_id=identity,
        device="cpu",
        provider="CPUExecutionProvider",
        batch=batch,
        workers=2,
        threads=1,
        p50_ms=1.25,
        p95_ms=2.5,
        per_second=800.1,
        load_ms=30.0,
        peak_bytes=5_000_000_000,
        steady_bytes=4_000_000_000,
        baseline_bytes=100,
        source=source,
    )


def make_draft(blobs: Blobs, *, model: str = "demo", content: str = "") -> VersionDraft:
    """FP32 and INT8 of both towers, one evaluation each, one pair, one profile each."""
    manifests = tuple(
        store_artifact(blobs, tower, variant, content)
        for tower in ("vision", "text")
        for variant in ("fp32", "int8")
    )
    ids = [artifact_id(data) for data in manifests]
    return VersionDraft(
        model=model,
        space_id=SPACE,
        dimension=DIMENSION,
        licence="Apache-2.0",
        source="hf:someone/model",
        source_digest=SOURCE,
        artifacts=manifests,
        evaluations=tuple(
            ArtifactEvaluation(
                identity, "scenes", DATASET, {"cosine_mean": 0.5 + place / 7, "top1_match": 1.0}
            )
            for place, identity in enumerate(ids)
        ),
        pairs=(PairEvaluation(ids[1], ids[3], "scenes", DATASET, {"top1_match": 0.97}),),
        profiles=tuple(make_profile(identity) for identity in ids),
    )


def make_report(node_id: str = "node-1", artifact_ids: tuple[str, ...] = ()) -> NodeReport:
    return NodeReport(
        node_id=node_id,
        hostname="edge-7",
        agent_version="0.1.0",
        device="cpu",
        providers=("CPUExecutionProvider",),
        memory_bytes=8 << 30,
        model="demo",
        version=1,
        artifact_ids=artifact_ids,
        profiles=tuple(make_profile(identity, source="mine") for identity in artifact_ids),
    )


def with_batches(profile: Profile, count: int) -> list[Profile]:
    return [replace(profile, batch=batch) for batch in range(1, count + 1)]
