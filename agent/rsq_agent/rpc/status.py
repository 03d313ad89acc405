"""The answer to GetStatus, from what the agent knows of its models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rsq import __version__
from rsq.wire.agent import AgentStatus, ModelStatus, TowerStatus
from rsq_agent.inference.live_model import LiveModel, LiveTower
from rsq_agent.meter import Meter
from rsq_agent.node.memory import Memory
from rsq_agent.state import Activation


@dataclass(frozen=True)
class KnownModel:
    """A model that was pulled to this node; `live` while it is loaded."""

    activation: Activation
    previous: Activation | None  # what a rollback goes back to
    state: str  # LOADED, LOADING, UNLOADED
    idle_seconds: float
    live: LiveModel | None


def build_status(
    models: Sequence[KnownModel],
    *,
    node_id: str,
    state: str,
    current: Activation | None,
    device: str,
    memory: Memory,
    meter: Meter,
) -> AgentStatus:
    """`state` and `current` are of the model that answers requests which name none."""
    return AgentStatus(
        node_id=node_id,
        agent_version=__version__,
        state=state,
        model=current.model if current is not None else "",
        version=current.version if current is not None else 0,
        artifact_ids=current.artifacts if current is not None else (),
        uptime_seconds=meter.uptime_seconds,
        models=tuple(_model(model) for model in models),
        device=device,
        resident_bytes=memory.resident_bytes,
        device_bytes=memory.device_bytes,
    )


def _model(known: KnownModel) -> ModelStatus:
    towers = sorted(known.live.towers.items(), reverse=True) if known.live is not None else []
    return ModelStatus(
        model=known.activation.model,
        version=known.activation.version,
        previous_version=known.previous.version if known.previous is not None else 0,
        state=known.state,
        idle_seconds=known.idle_seconds,
        budget_bytes=known.activation.budget_bytes or 0,
        towers=tuple(_tower(tower) for _, tower in towers),
    )


def _tower(live: LiveTower) -> TowerStatus:
    recent = live.meter.recent()
    pace = live.batcher.pace
    return TowerStatus(
        tower=live.manifest.tower,
        artifact_id=live.artifact_id,
        variant=live.manifest.variant,
        provider=live.provider,
        workers=pace.workers,
        threads=pace.threads,
        max_batch=live.max_batch,
        waiting=live.batcher.waiting,
        items=live.meter.items,
        refused=live.meter.refused,
        p50_ms=recent.p50_ms,
        p99_ms=recent.p99_ms,
        mean_batch=recent.mean_batch,
        latency_target_ms=(live.batcher.limits.target_seconds or 0.0) * 1000,
    )
