"""What an agent serves and how it classifies, on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rsq.classification import LabelScore
from rsq.manifest import Tower
from rsq.v1 import embedding_pb2 as pb
from rsq.wire.registry import tower_from_pb, tower_to_pb


@dataclass(frozen=True)
class ServedTower:
    tower: Tower
    artifact_id: str
    variant: str
    provider: str
    workers: int
    threads: int
    batch_invariant: bool
    max_batch: int
    probe_own_cosine_min: float
    probe_fp32_cosine_min: float


@dataclass(frozen=True)
class ModelInfo:
    model: str
    version: int
    space_id: str
    dimension: int
    towers: tuple[ServedTower, ...]
    node_id: str
    device: str


def served_tower_to_pb(row: ServedTower) -> pb.ServedTower:
    return pb.ServedTower(
        tower=tower_to_pb(row.tower),
        artifact_id=row.artifact_id,
        variant=row.variant,
        provider=row.provider,
        workers=row.workers,
        threads=row.threads,
        batch_invariant=row.batch_invariant,
        max_batch=row.max_batch,
        probe_own_cosine_min=row.probe_own_cosine_min,
        probe_fp32_cosine_min=row.probe_fp32_cosine_min,
    )


def served_tower_from_pb(message: pb.ServedTower) -> ServedTower:
    return ServedTower(
        tower=tower_from_pb(message.tower),
        artifact_id=message.artifact_id,
        variant=message.variant,
        provider=message.provider,
        workers=message.workers,
        threads=message.threads,
        batch_invariant=message.batch_invariant,
        max_batch=message.max_batch,
        probe_own_cosine_min=message.probe_own_cosine_min,
        probe_fp32_cosine_min=message.probe_fp32_cosine_min,
    )


def model_info_to_pb(row: ModelInfo) -> pb.GetModelInfoResponse:
    return pb.GetModelInfoResponse(
        model=row.model,
        version=row.version,
        space_id=row.space_id,
        dimension=row.dimension,
        towers=[served_tower_to_pb(tower) for tower in row.towers],
        node_id=row.node_id,
        device=row.device,
    )


def model_info_from_pb(message: pb.GetModelInfoResponse) -> ModelInfo:
    return ModelInfo(
        model=message.model,
        version=message.version,
        space_id=message.space_id,
        dimension=message.dimension,
        towers=tuple(served_tower_from_pb(tower) for tower in message.towers),
        node_id=message.node_id,
        device=message.device,
    )


def label_scores_to_pb(scores: Sequence[LabelScore]) -> pb.Classification:
    return pb.Classification(
        labels=[
            pb.LabelScore(label=row.label, cosine=row.cosine, probability=row.probability)
            for row in scores
        ]
    )


def label_scores_from_pb(message: pb.Classification) -> list[LabelScore]:
    return [LabelScore(row.label, row.cosine, row.probability) for row in message.labels]
