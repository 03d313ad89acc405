"""Who calls, for records of what was done."""

from __future__ import annotations

import grpc


def describe_caller(context: grpc.ServicerContext) -> str:
    """The address, without the port of the moment."""
    return f"rpc {context.peer().rpartition(':')[0]}"
