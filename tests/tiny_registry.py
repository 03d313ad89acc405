"""Real versions of tiny artifacts in a real registry, made without publishing."""

from __future__ import annotations

from pathlib import Path

from tiny_artifacts import (
    CHUNK_BYTES,
    DIMENSION,
    SOURCE_DIGEST,
    SPACE_ID,
    TinyArtifact,
    build_artifact,
    profile,
)

from rsq.records import ArtifactEvaluation, PairEvaluation, VersionRow
from rsq_registry.drafts import VersionDraft
from rsq_server.app import Stores, open_stores
from rsq_server.config import ServerConfig

DATASET_DIGEST = "d" * 64
PEAK_BYTES = 7_654_321


def store_version(
    stores: Stores,
    folder: Path,
    *,
    model: str = "tiny",
    alias: str | None = None,
    seed: int = 0,
    padding_bytes: int = 0,
    chunk_bytes: int = CHUNK_BYTES,
) -> VersionRow:
    """Adds a version with both towers in FP32, evaluated and profiled with made-up numbers."""
    vision = build_artifact(
        folder / "vision",
        "vision",
        seed=seed,
        padding_bytes=padding_bytes,
        chunk_bytes=chunk_bytes,
    )
    text = build_artifact(folder / "text", "text", seed=seed)
    for artifact in (vision, text):
        _store_files(stores, artifact)
    return stores.catalogue.add_version(
        VersionDraft(
            model=model,
            space_id=SPACE_ID,
            dimension=DIMENSION,
            licence="Apache-2.0",
            source="tests",
            source_digest=SOURCE_DIGEST,
            artifacts=(vision.manifest_bytes, text.manifest_bytes),
            evaluations=tuple(_evaluation(artifact.id) for artifact in (vision, text)),
            pairs=(
                PairEvaluation(vision.id, text.id, "tiny", DATASET_DIGEST, {"top1_match": 1.0}),
            ),
            profiles=tuple(
                profile(artifact.id, peak_bytes=PEAK_BYTES, batch=batch)
                for artifact in (vision, text)
                for batch in (1, 8)
            ),
            alias=alias,
        )
    )


def fill_home(home: Path, folder: Path) -> list[VersionRow]:
    """Two versions of `tiny`, the first in production, in the data folder of RSQ_HOME `home`."""
    with open_stores(ServerConfig(home / "server")) as stores:
        return [
            store_version(stores, folder / "1", alias="production", seed=1),
            store_version(stores, folder / "2", seed=2),
        ]


def _store_files(stores: Stores, artifact: TinyArtifact) -> None:
    for entry in artifact.manifest.files:
        stores.blobs.put_file(artifact.folder / entry.name, expected=entry.sha256)


def _evaluation(artifact_id: str) -> ArtifactEvaluation:
    metrics = {
        "cosine_mean": 0.98765,
        "spread_ratio": 1.0,
        "top1_match": 0.875,
        "top3_match": 1.0,
        "recall_at_1_change": 0.0,
        "recall_at_5_change": 0.01,
        "recall_at_10_change": -0.02,
    }
    return ArtifactEvaluation(artifact_id, "tiny", DATASET_DIGEST, metrics)
