"""A version with everything that a report can show, made without publishing."""

from __future__ import annotations

import dataclasses
import io

from PIL import Image

from rsq.manifest import (
    TOWERS,
    FileEntry,
    ImageSpec,
    Lineage,
    Manifest,
    ProbeSpec,
    RecipeSpec,
    ScoringSpec,
    TextSpec,
    Tower,
)
from rsq.records import ArtifactEvaluation, ArtifactRow, PairEvaluation, Profile, VersionRow
from rsq_server.details import (
    BlockSensitivity,
    Details,
    Hit,
    QueryHits,
    SearchTrial,
    SimilaritySample,
)

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
SPACE = "5" * 64
DATASET = "d" * 64
VARIANTS = ("fp32", "fp16", "int8")
# How the variants compare with FP32: their size, their latency and their accuracy.
_SIZES = {"fp32": 400_000_000, "fp16": 200_000_000, "int8": 100_000_000}
_LATENCIES = {"fp32": 50.0, "fp16": 60.0, "int8": 20.0}
_MATCHES = {"fp32": 1.0, "fp16": 0.9995, "int8": 0.977}
_PROVIDERS = {"fp32": (CPU, CUDA), "fp16": (CPU, CUDA), "int8": (CPU,)}


def make_version() -> VersionRow:
    """Three variants of both towers with all metrics, profiles of batch 1 and 8, and nine pairs."""
    rows = tuple(make_artifact(tower, variant) for tower in TOWERS for variant in VARIANTS)
    pairs = tuple(
        PairEvaluation(
            artifact_id("vision", vision),
            artifact_id("text", text),
            "aid-rsicd",
            DATASET,
            make_metrics(min(_MATCHES[vision], _MATCHES[text])),
        )
        for vision in VARIANTS
        for text in VARIANTS
    )
    return VersionRow(
        model="git-rsclip-base",
        version=3,
        space_id=SPACE,
        dimension=768,
        created_at="2026-03-01T12:00:00.000000Z",
        licence="Apache-2.0",
        source="modelscope:lcybuaa/Git-RSCLIP-base",
        artifacts=rows,
        pairs=pairs,
        aliases=("production",),
    )


def artifact_id(tower: Tower, variant: str) -> str:
    number = TOWERS.index(tower) * 8 + VARIANTS.index(variant)
    return f"{number:x}" * 64


def make_artifact(tower: Tower, variant: str) -> ArtifactRow:
    identity = artifact_id(tower, variant)
    metrics = make_metrics(_MATCHES[variant])
    return ArtifactRow(
        id=identity,
        tower=tower,
        variant=variant,
        size_bytes=_SIZES[variant],
        providers=_PROVIDERS[variant],
        batch_invariant=True,
        evaluation=ArtifactEvaluation(identity, "aid-rsicd", DATASET, metrics),
        profiles=tuple(make_profile(identity, batch, _LATENCIES[variant]) for batch in (1, 8)),
    )


def make_profile(identity: str, batch: int, p50_ms: float) -> Profile:
    return Profile(
        artifact_id=identity,
        device="cpu",
        provider=CPU,
        batch=batch,
        workers=1,
        threads=2,
        p50_ms=p50_ms * batch,
        p95_ms=p50_ms * batch * 1.5,
        per_second=1000 / p50_ms,
        load_ms=500.0,
        peak_bytes=round(p50_ms * 10_000_000),
        steady_bytes=300_000_000,
        baseline_bytes=60_000_000,
        source="publisher",
    )


def make_metrics(match: float) -> dict[str, float]:
    """Every metric by its name; FP32's where `match` is 1."""
    loss = 1 - match
    metrics = {
        "cosine_mean": 1 - loss / 100,
        "cosine_p1": 1 - loss / 50,
        "cosine_min": 1 - loss / 10,
        "spread_ratio": 1.0,
        "mean_abs_diff": loss / 70,
        "similarity_correlation": 1 - loss / 40,
        "kendall_tau": 1 - loss / 2,
        "top1_match": match,
        "top1_match_low": match - loss / 2,
        "top1_match_high": match + loss / 4,
        "top3_match": 1 - loss / 10,
        "overlap_at_10": 1 - loss / 2,
        "batch_cosine_min": 1.0,
        "padding_cosine_min": 1.0,
    }
    for name in ("recall", "image_recall"):
        metrics |= {f"{name}_at_{k}_change": -loss for k in (1, 5, 10)}
    for name in ("zero_shot_change", "mixed_overlap_change", "cross_image_overlap_change"):
        metrics |= {name: loss / 5, f"{name}_low": -loss, f"{name}_high": loss}
    for name in ("mixed_overlap_at_10", "mixed_top1_match", "cross_image_overlap_at_10"):
        metrics[name] = 1 - loss / 3
    return metrics


def make_manifests(version: VersionRow) -> dict[str, Manifest]:
    return {row.id: make_manifest(row) for row in version.artifacts}


def make_manifest(row: ArtifactRow) -> Manifest:
    chunks = ("e" * 64, "f" * 64)
    files = (FileEntry("weights", "model.onnx.data", 5000, "a" * 64, 4096, chunks),)
    return Manifest(
        tower=row.tower,
        variant=row.variant,
        format="onnx",
        space_id=SPACE,
        dimension=768,
        batch_invariant=row.batch_invariant,
        scoring=ScoringSpec("sigmoid", 112.5, -16.25),
        recipe=RecipeSpec("per-token-dynamic", row.providers, {"kept": ["head", "layers.3"]}),
        lineage=Lineage("c" * 64, "b" * 64, {"onnx": "1.23.0", "torch": "2.13.0"}),
        licence="Apache-2.0",
        probe=ProbeSpec(0.9975, 0.985),
        files=files,
        image=ImageSpec(256, 256, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        if row.tower == "vision"
        else None,
        text=TextSpec(64, pad_id=1, eos_id=1, lower_case=True) if row.tower == "text" else None,
    )


def make_details() -> Details:
    """Similarities of both INT8 towers, one query, and a search over both towers."""
    fp32 = tuple(number / 40 - 0.25 for number in range(20))
    samples = tuple(
        SimilaritySample(
            artifact=f"{tower} int8",
            fp32=fp32,
            variant=tuple(cosine + 0.004 * (-1) ** place for place, cosine in enumerate(fp32)),
            low=-0.254,
            high=0.229,
            fp32_counts=(1, 4, 9, 4),
            variant_counts=(2, 4, 8, 4),
        )
        for tower in ("vision", "text")
    )
    hits = (Hit("000001", 0.3125, True), Hit("000002", 0.25, False), Hit("000003", -0.125, None))
    moved = (hits[1], hits[0], dataclasses.replace(hits[2], image="000004"))
    return Details(
        dataset="aid-rsicd",
        dataset_digest=DATASET,
        similarities=samples,
        hits=(
            QueryHits(
                "port with large cargo ships",
                {"int8": moved, "fp32": hits, "fp16": hits},
            ),
        ),
        sensitivities=tuple(
            BlockSensitivity(tower, block, error, error * 40, kept)
            for tower in ("vision", "text")
            for block, error, kept in (
                ("layers.0.attention", 1e-4, "int8"),
                ("layers.0.mlp", 4e-4, "fp16"),
                ("head", 0.0, "int8"),
            )
        ),
        trials=tuple(
            SearchTrial(tower, kept, cost, accuracy, chosen)
            for tower in ("vision", "text")
            for kept, cost, accuracy, chosen in (
                ((), 1.0, 0.95, False),
                (("layers.0.mlp",), 1.25, 0.99, True),
                (("head",), 1.5, 0.96, False),
            )
        ),
        notes=("The calibration images are darker than the evaluation images.",),
        thumbnails={f"{number:06d}": _make_thumbnail(number) for number in (1, 2, 3)},
    )


def _make_thumbnail(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (number * 60, 90, 120)).save(buffer, "JPEG")
    return buffer.getvalue()
