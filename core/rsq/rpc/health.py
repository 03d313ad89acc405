"""Asks a server for its health, as it is asked over the network."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rsq.rpc.channel import open_channel, split_address

ANSWER_SECONDS = 5.0
_EVERY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - read here, never bound


def is_serving(address: str, service: str, *, timeout_seconds: float = ANSWER_SECONDS) -> bool:
    """Whether the server at HOST:PORT answers in time and calls `service` SERVING. One that listens
    on every interface is asked over loopback."""
    host, port = split_address(address)
    target = f"{_EVERY_INTERFACE[host]}:{port}" if host in _EVERY_INTERFACE else address
    with open_channel(target) as channel:
        try:
            reply = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=service), timeout=timeout_seconds
            )
        except grpc.RpcError:
            return False
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)
