"""A running agent as the commands on its node see it."""

from __future__ import annotations

from dataclasses import dataclass

from rsq.errors import RsqError, Unreachable
from rsq.rpc.channel import open_channel, translate_errors
from rsq.v1 import agent_pb2 as pb
from rsq.v1.agent_pb2_grpc import AgentStub

STATUS_SECONDS = 5.0
ACTIVATE_SECONDS = 600.0  # loading a large artifact from a slow disk


@dataclass(frozen=True)
class AgentStatus:
    node_id: str
    agent_version: str
    state: str  # EMPTY, LOADING, SERVING
    model: str
    version: int
    artifact_ids: tuple[str, ...]
    uptime_seconds: float


def read_status(target: str) -> AgentStatus:
    """Raises Unreachable where no agent answers."""
    with open_channel(target) as channel, translate_errors(target):
        reply = AgentStub(channel).GetStatus(pb.GetStatusRequest(), timeout=STATUS_SECONDS)
    return AgentStatus(
        node_id=reply.node_id,
        agent_version=reply.agent_version,
        state=reply.state,
        model=reply.model,
        version=reply.version,
        artifact_ids=tuple(reply.artifact_ids),
        uptime_seconds=reply.uptime_seconds,
    )


def find_agent(target: str) -> AgentStatus | None:
    """The status of the agent at `target`, or None where none runs."""
    try:
        return read_status(target)
    except Unreachable:
        return None
    except RsqError as e:
        raise Unreachable(f"What answers at {target} is not an rsq agent.") from e


def activate(
    target: str,
    *,
    model: str,
    version: int,
    artifact_ids: tuple[str, ...],
    providers: tuple[str, ...],
    max_batch: int,
    budget_bytes: int | None,
) -> None:
    """Asks the running agent to prove and serve artifacts that lie in its cache. Raises what the
    agent raises; it then keeps what it served."""
    request = pb.ActivateRequest(
        model=model,
        version=version,
        artifact_ids=artifact_ids,
        providers=providers,
        max_batch=max_batch,
        budget_bytes=budget_bytes or 0,
    )
    with open_channel(target) as channel, translate_errors(target):
        AgentStub(channel).Activate(request, timeout=ACTIVATE_SECONDS)
