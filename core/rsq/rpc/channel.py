"""Channels to an rsq server or agent, and the one place where grpc failures become rsq errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from rsq.errors import RsqError, Unauthenticated, Unreachable
from rsq.rpc.addresses import split_address
from rsq.rpc.authorization import AUTHORIZATION, BEARER
from rsq.rpc.endpoint import Endpoint, Target, to_endpoint
from rsq.wire.status import from_rpc_error

MAX_MESSAGE_BYTES = 64 << 20
DIAGNOSIS_SECONDS = 3.0  # to find out why a connection was refused
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.enable_http_proxy", 0),
    # A node's link comes back sooner than grpc would look again (up to two minutes).
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5000),
    # Else a channel that replaces one with a dead connection may get that very connection.
    ("grpc.use_local_subchannel_pool", 1),
)


class _AddToken(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Sends the token with every call."""

    def __init__(self, token: str) -> None:
        self._entry = (AUTHORIZATION, BEARER + token)

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = (*(details.metadata or ()), self._entry)
        return continuation(details._replace(metadata=metadata), request)

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return self.intercept_unary_unary(continuation, details, request)

    def intercept_stream_unary(self, continuation: Any, details: Any, requests: Any) -> Any:
        return self.intercept_unary_unary(continuation, details, requests)

    def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        return self.intercept_unary_unary(continuation, details, requests)


def open_channel(target: Target) -> grpc.Channel:
    """A channel that connects on first use. Raises BadInput and what the files of TLS are at fault
    for."""
    endpoint = to_endpoint(target)
    if endpoint.tls is None or endpoint.is_local_socket:
        channel = grpc.insecure_channel(endpoint.address, options=_OPTIONS)
    else:
        channel = grpc.secure_channel(
            endpoint.address, endpoint.tls.grpc_credentials(), options=_OPTIONS
        )
    token = endpoint.read_token()
    return channel if token is None else grpc.intercept_channel(channel, _AddToken(token))


@contextmanager
def translate_errors(target: Target) -> Iterator[None]:
    """Turns a grpc failure inside the block into the rsq error it carries."""
    try:
        yield
    except grpc.RpcError as e:
        error = from_rpc_error(e, target=str(target))
        if isinstance(error, Unreachable):
            error = _explain(to_endpoint(target)) or error
        raise error from e


def _explain(endpoint: Endpoint) -> RsqError | None:
    """Of a connection that failed: what TLS has to do with it, if anything."""
    if endpoint.is_local_socket:
        return None
    from rsq.tls import diagnose, speaks_tls

    host, port = split_address(endpoint.address)
    if endpoint.tls is not None:
        return diagnose(host, port, endpoint.tls, DIAGNOSIS_SECONDS)
    if speaks_tls(host, port, DIAGNOSIS_SECONDS):
        return Unauthenticated(
            f"{endpoint.address} speaks TLS. Add --tls-ca FILE with its certificate authority."
        )
    return None
