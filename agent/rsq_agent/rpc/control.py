"""rsq.v1.Agent: what the commands on this node ask of the serving process."""

from __future__ import annotations

import time

import grpc

from rsq import __version__
from rsq.v1 import agent_pb2 as pb
from rsq.v1.agent_pb2_grpc import AgentServicer
from rsq_agent.activator import Activator
from rsq_agent.state import Activation


class Control(AgentServicer):
    def __init__(self, activator: Activator) -> None:
        self._activator = activator
        self._started = time.monotonic()

    def Activate(
        self, request: pb.ActivateRequest, context: grpc.ServicerContext
    ) -> pb.ActivateResponse:
        self._activator.activate(
            Activation(
                model=request.model,
                version=request.version,
                artifacts=tuple(request.artifact_ids),
                providers=tuple(request.providers),
                max_batch=request.max_batch,
                budget_bytes=request.budget_bytes or None,
            )
        )
        return pb.ActivateResponse()

    def GetStatus(
        self, request: pb.GetStatusRequest, context: grpc.ServicerContext
    ) -> pb.GetStatusResponse:
        status = pb.GetStatusResponse(
            node_id=self._activator.node_id,
            agent_version=__version__,
            state=self._activator.state,
            uptime_seconds=time.monotonic() - self._started,
        )
        active = self._activator.active
        if active is not None:
            status.model = active.model
            status.version = active.version
            status.artifact_ids.extend(active.artifacts)
        return status
