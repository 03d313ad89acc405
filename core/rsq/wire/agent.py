"""A running agent's status, on the wire."""

from __future__ import annotations

from dataclasses import dataclass

from rsq.manifest import Tower
from rsq.v1 import agent_pb2 as pb
from rsq.wire.registry import tower_from_pb, tower_to_pb


@dataclass(frozen=True)
class TowerStatus:
    tower: Tower
    artifact_id: str
    variant: str
    provider: str
    workers: int
    threads: int  # of each worker
    max_batch: int
    waiting: int  # items in the queue now
    items: int  # embedded since the load
    refused: int
    # Over the last requests; 0 before the first.
    p50_ms: float
    p99_ms: float
    mean_batch: float
    latency_target_ms: float = 0.0  # 0: none


@dataclass(frozen=True)
class ModelStatus:
    model: str
    version: int
    previous_version: int  # what a rollback goes back to; 0: none
    state: str  # LOADED, LOADING, UNLOADED
    idle_seconds: float  # since its last request
    budget_bytes: int  # 0: no limit
    towers: tuple[TowerStatus, ...]


@dataclass(frozen=True)
class AgentStatus:
    node_id: str
    agent_version: str
    state: str  # EMPTY, LOADING, SERVING
    # Of the model that answers requests which name none.
    model: str
    version: int
    artifact_ids: tuple[str, ...]
    uptime_seconds: float
    models: tuple[ModelStatus, ...]
    device: str
    resident_bytes: int  # of the serving process
    device_bytes: int  # of the serving process on the GPU; 0 without one


def tower_status_to_pb(row: TowerStatus) -> pb.TowerStatus:
    return pb.TowerStatus(
        tower=tower_to_pb(row.tower),
        artifact_id=row.artifact_id,
        variant=row.variant,
        provider=row.provider,
        workers=row.workers,
        threads=row.threads,
        max_batch=row.max_batch,
        waiting=row.waiting,
        items=row.items,
        refused=row.refused,
        p50_ms=row.p50_ms,
        p99_ms=row.p99_ms,
        mean_batch=row.mean_batch,
        latency_target_ms=row.latency_target_ms,
    )


def tower_status_from_pb(message: pb.TowerStatus) -> TowerStatus:
    return TowerStatus(
        tower=tower_from_pb(message.tower),
        artifact_id=message.artifact_id,
        variant=message.variant,
        provider=message.provider,
        workers=message.workers,
        threads=message.threads,
        max_batch=message.max_batch,
        waiting=message.waiting,
        items=message.items,
        refused=message.refused,
        p50_ms=message.p50_ms,
        p99_ms=message.p99_ms,
        mean_batch=message.mean_batch,
        latency_target_ms=message.latency_target_ms,
    )


def model_status_to_pb(row: ModelStatus) -> pb.ModelStatus:
    return pb.ModelStatus(
        model=row.model,
        version=row.version,
        previous_version=row.previous_version,
        state=row.state,
        idle_seconds=row.idle_seconds,
        budget_bytes=row.budget_bytes,
        towers=[tower_status_to_pb(tower) for tower in row.towers],
    )


def model_status_from_pb(message: pb.ModelStatus) -> ModelStatus:
    return ModelStatus(
        model=message.model,
        version=message.version,
        previous_version=message.previous_version,
        state=message.state,
        idle_seconds=message.idle_seconds,
        budget_bytes=message.budget_bytes,
        towers=tuple(tower_status_from_pb(tower) for tower in message.towers),
    )


def agent_status_to_pb(row: AgentStatus) -> pb.GetStatusResponse:
    return pb.GetStatusResponse(
        node_id=row.node_id,
        agent_version=row.agent_version,
        state=row.state,
        model=row.model,
        version=row.version,
        artifact_ids=row.artifact_ids,
        uptime_seconds=row.uptime_seconds,
        models=[model_status_to_pb(model) for model in row.models],
        device=row.device,
        resident_bytes=row.resident_bytes,
        device_bytes=row.device_bytes,
    )


def agent_status_from_pb(message: pb.GetStatusResponse) -> AgentStatus:
    return AgentStatus(
        node_id=message.node_id,
        agent_version=message.agent_version,
        state=message.state,
        model=message.model,
        version=message.version,
        artifact_ids=tuple(message.artifact_ids),
        uptime_seconds=message.uptime_seconds,
        models=tuple(model_status_from_pb(model) for model in message.models),
        device=message.device,
        resident_bytes=message.resident_bytes,
        device_bytes=message.device_bytes,
    )
