"""Channels to an rsq server or agent, and the one place where grpc failures become rsq errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from rsq.errors import BadInput
from rsq.wire.status import from_rpc_error

MAX_MESSAGE_BYTES = 64 << 20
MAX_PORT = 65535


def split_address(address: str) -> tuple[str, int]:
    """(host, port) of "HOST:PORT"; an IPv6 host stands in brackets. Raises BadInput."""
    host, separator, port = address.rpartition(":")
    bad_ipv6 = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if not separator or not host or bad_ipv6 or not port.isdecimal() or int(port) > MAX_PORT:
        raise BadInput(f"{address!r} is not HOST:PORT; write one like 127.0.0.1:7100.")
    return host.strip("[]"), int(port)


def open_channel(target: str) -> grpc.Channel:
    """A plaintext channel to HOST:PORT; connects on first use."""
    split_address(target)
    return grpc.insecure_channel(
        target,
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.enable_http_proxy", 0),
            # A node's link comes back sooner than grpc would look again (up to two minutes).
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 5000),
            # Else a channel that replaces one with a dead connection may get that very connection.
            ("grpc.use_local_subchannel_pool", 1),
        ],
    )


@contextmanager
def translate_errors(target: str) -> Iterator[None]:
    """Turns a grpc failure inside the block into the rsq error it carries."""
    try:
        yield
    except grpc.RpcError as e:
        raise from_rpc_error(e, target=target) from e
