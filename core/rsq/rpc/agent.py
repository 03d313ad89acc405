"""A running agent as the commands on its node see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NotRequired, TypedDict, Unpack

from rsq.errors import PermissionDenied, RsqError, Unauthenticated, Unreachable
from rsq.rpc.channel import open_channel, translate_errors
from rsq.rpc.endpoint import Target
from rsq.v1 import agent_pb2 as pb
from rsq.v1.agent_pb2_grpc import AgentStub
from rsq.wire.agent import AgentStatus, agent_status_from_pb

STATUS_SECONDS = 5.0
ACTIVATE_SECONDS = 600.0  # loading a large artifact from a slow disk


def read_status(target: Target) -> AgentStatus:
    """Raises Unreachable where no agent answers."""
    with open_channel(target) as channel, translate_errors(target):
        reply = AgentStub(channel).GetStatus(pb.GetStatusRequest(), timeout=STATUS_SECONDS)
    return agent_status_from_pb(reply)


def find_agent(target: Target) -> AgentStatus | None:
    """The status of the agent at `target`, or None where none runs."""
    try:
        return read_status(target)
    except Unreachable:
        return None
    except (Unauthenticated, PermissionDenied):
        raise
    except RsqError as e:
        raise Unreachable(f"What answers at {target} is not an rsq agent.") from e


class Wanted(TypedDict):
    """Artifacts that lie in the agent's cache, with what was measured of them there and how they
    were chosen."""

    model: str
    version: int
    artifact_ids: tuple[str, ...]
    providers: tuple[str, ...]  # one an artifact
    max_batch: int
    budget_bytes: int | None
    peak_bytes: NotRequired[tuple[int, ...]]  # one an artifact
    load_seconds: NotRequired[float]
    objective: NotRequired[str | None]
    min_accuracy: NotRequired[float | None]
    pin: NotRequired[str | None]
    vision_budget_bytes: NotRequired[int | None]
    text_budget_bytes: NotRequired[int | None]
    reserve_bytes: NotRequired[int | None]


@dataclass(frozen=True)
class ActivationPlan:
    """`reason` is a sentence."""

    side_by_side: bool
    downtime_seconds: float
    reason: str


def plan_activation(target: Target, **wanted: Unpack[Wanted]) -> ActivationPlan:
    """What `activate` would do now. Raises Exhausted when it could not."""
    with open_channel(target) as channel, translate_errors(target):
        reply = AgentStub(channel).PlanActivation(
            pb.ActivateRequest(**wanted), timeout=STATUS_SECONDS
        )
    return ActivationPlan(reply.side_by_side, reply.downtime_seconds, reply.reason)


def activate(target: Target, **wanted: Unpack[Wanted]) -> ActivationPlan:
    """Asks the running agent to prove and serve artifacts; returns what it took. Raises what the
    agent raises; it then keeps what it served."""
    with open_channel(target) as channel, translate_errors(target):
        reply = AgentStub(channel).Activate(pb.ActivateRequest(**wanted), timeout=ACTIVATE_SECONDS)
    return ActivationPlan(reply.side_by_side, reply.downtime_seconds, "")


def roll_back(target: Target, model: str | None) -> tuple[str, int]:
    """Activates what `model`, or the one that serves, was before; returns its name and version.
    Raises NotFound when there is nothing to go back to."""
    with open_channel(target) as channel, translate_errors(target):
        reply = AgentStub(channel).Rollback(
            pb.RollbackRequest(model=model or ""), timeout=ACTIVATE_SECONDS
        )
    return reply.model, reply.version


def load(target: Target, model: str) -> None:
    """Has the running agent load a model that was pulled there."""
    with open_channel(target) as channel, translate_errors(target):
        AgentStub(channel).Load(pb.LoadRequest(model=model), timeout=ACTIVATE_SECONDS)


def unload(target: Target, model: str) -> None:
    """Has the running agent let a model's memory go; its next request loads it again."""
    with open_channel(target) as channel, translate_errors(target):
        AgentStub(channel).Unload(pb.UnloadRequest(model=model), timeout=ACTIVATE_SECONDS)
