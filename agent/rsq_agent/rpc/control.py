"""rsq.v1.Agent: what the commands on this node ask of the serving process."""

from __future__ import annotations

import time

import grpc

from rsq.v1 import agent_pb2 as pb
from rsq.v1.agent_pb2_grpc import AgentServicer
from rsq.wire.agent import agent_status_to_pb
from rsq_agent.inference.activator import Activator
from rsq_agent.inference.slots import Served
from rsq_agent.meter import Meter
from rsq_agent.node.memory import process_memory
from rsq_agent.rpc.status import KnownModel, build_status
from rsq_agent.state import Activation, Wishes


class Control(AgentServicer):
    def __init__(self, activator: Activator, *, meter: Meter, device: str) -> None:
        """`device` is the node's device class."""
        self._activator = activator
        self._meter = meter
        self._device = device

    def PlanActivation(
        self, request: pb.ActivateRequest, context: grpc.ServicerContext
    ) -> pb.PlanActivationResponse:
        plan = self._activator.plan(activation_from_pb(request))
        return pb.PlanActivationResponse(
            side_by_side=plan.side_by_side,
            downtime_seconds=plan.downtime_seconds,
            reason=plan.reason,
        )

    def Activate(
        self, request: pb.ActivateRequest, context: grpc.ServicerContext
    ) -> pb.ActivateResponse:
        swap = self._activator.activate(activation_from_pb(request))
        return pb.ActivateResponse(
            side_by_side=swap.side_by_side, downtime_seconds=swap.downtime_seconds
        )

    def Rollback(
        self, request: pb.RollbackRequest, context: grpc.ServicerContext
    ) -> pb.RollbackResponse:
        active = self._activator.roll_back(request.model or None)
        return pb.RollbackResponse(
            model=active.model, version=active.version, artifact_ids=active.artifacts
        )

    def Load(self, request: pb.LoadRequest, context: grpc.ServicerContext) -> pb.LoadResponse:
        self._activator.load(request.model)
        return pb.LoadResponse()

    def Unload(self, request: pb.UnloadRequest, context: grpc.ServicerContext) -> pb.UnloadResponse:
        self._activator.unload(request.model)
        return pb.UnloadResponse()

    def GetStatus(
        self, request: pb.GetStatusRequest, context: grpc.ServicerContext
    ) -> pb.GetStatusResponse:
        status = build_status(
            [_known(served, previous) for served, previous in self._activator.models()],
            node_id=self._activator.node_id,
            state=self._activator.state,
            current=self._activator.active,
            device=self._device,
            memory=process_memory(),
            meter=self._meter,
        )
        return agent_status_to_pb(status)


def activation_from_pb(message: pb.ActivateRequest) -> Activation:
    return Activation(
        model=message.model,
        version=message.version,
        artifacts=tuple(message.artifact_ids),
        providers=tuple(message.providers),
        max_batch=message.max_batch,
        budget_bytes=message.budget_bytes or None,
        peak_bytes=sum(message.peak_bytes) or None,
        load_seconds=message.load_seconds or None,
        wishes=Wishes(
            objective=message.objective or None,
            min_accuracy=message.min_accuracy or None,
            pin=message.pin or None,
            vision_budget_bytes=message.vision_budget_bytes or None,
            text_budget_bytes=message.text_budget_bytes or None,
            reserve_bytes=message.reserve_bytes if message.HasField("reserve_bytes") else None,
        ),
    )


def _known(served: Served, previous: Activation | None) -> KnownModel:
    live = served.live
    state = "LOADED" if live is not None else "LOADING" if served.is_arriving else "UNLOADED"
    idle_seconds = time.monotonic() - live.last_used if live is not None else 0.0
    return KnownModel(served.activation, previous, state, idle_seconds, live)
