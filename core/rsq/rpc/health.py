"""Asks a server for its health, as it is asked over the network."""

from __future__ import annotations

from dataclasses import replace

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rsq.rpc.channel import open_channel
from rsq.rpc.endpoint import Target, to_endpoint

ANSWER_SECONDS = 5.0


def is_serving(target: Target, service: str, *, timeout_seconds: float = ANSWER_SECONDS) -> bool:
    """Whether the server at `target` answers in time and calls `service` SERVING."""
    with open_channel(replace(to_endpoint(target), token=None)) as channel:  # it needs none
        try:
            reply = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=service), timeout=timeout_seconds
            )
        except grpc.RpcError:
            return False
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)
