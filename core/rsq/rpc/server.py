"""A gRPC server as rsq runs it: sync thread pool, health, reflection, guarded, bounded, loopback
unless told otherwise."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from rsq.call_record import CallRecord
from rsq.errors import EnvironmentFault
from rsq.rpc.addresses import is_loopback, join_address, split_address
from rsq.rpc.channel import MAX_MESSAGE_BYTES
from rsq.rpc.endpoint import Endpoint
from rsq.rpc.guard import Guard
from rsq.rpc.interceptor import CallInterceptor
from rsq.rpc.scopes import require_rules
from rsq.rpc.security import OPEN_ON_LOOPBACK, Security

MAX_CONCURRENT = 48
SPARE_THREADS = 8  # for health, which never waits behind the rest
STOP_GRACE_SECONDS = 5.0


class RpcServer:
    """Owns the grpc server, its bound port and its health state.

    `services` are (full service name, function that adds its servicer to a grpc server). `on_end`
    hears of every call when it ends, in the thread that answered it. `guard` is the one of all the
    program's ports, by default one for this port alone.
    """

    def __init__(
        self,
        services: Sequence[tuple[str, Callable[[grpc.Server], None]]],
        *,
        listen: str,
        security: Security = OPEN_ON_LOOPBACK,
        guard: Guard | None = None,
        on_end: Sequence[Callable[[CallRecord], None]] = (),
    ) -> None:
        """Raises BadInput for a bind beyond loopback that `security` does not cover,
        EnvironmentFault for a port in use, what is wrong with the files of TLS, and InternalError
        for an RPC without a row in `rsq.rpc.scopes`."""
        host, port = split_address(listen)
        guard = guard or security.make_guard(listen)
        self._names = [name for name, _ in services]
        require_rules(self._names)
        self._health = health.HealthServicer()
        self._guard = guard
        self._server = grpc.server(
            ThreadPoolExecutor(MAX_CONCURRENT + SPARE_THREADS, thread_name_prefix="rpc"),
            interceptors=[
                CallInterceptor(max_concurrent=MAX_CONCURRENT, guard=guard, on_end=on_end)
            ],
            options=[
                # Without this a second process silently shares the port.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ],
        )
        for _, add in services:
            add(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        self.set_serving(False)
        tls = security.tls.grpc_credentials() if security.tls is not None else None
        try:
            bound = (
                self._server.add_insecure_port(listen)
                if tls is None
                else self._server.add_secure_port(listen, tls)
            )
        except RuntimeError as e:
            raise EnvironmentFault(
                f"Can't listen on {listen}: the port is in use or not allowed here. "
                "Choose another with --listen HOST:PORT."
            ) from e
        self.address = join_address(host, bound or port)
        self.own_endpoint = self._open_own_endpoint(
            is_reached_directly=tls is None and is_loopback(host)
        )

    def start(self) -> None:
        self._server.start()

    def set_serving(self, serving: bool, services: Sequence[str] = ()) -> None:
        """Health of `services`, or of the whole server and all of them when none is named."""
        state = health_pb2.HealthCheckResponse.ServingStatus
        status = state.SERVING if serving else state.NOT_SERVING
        for name in services or ("", *self._names):
            self._health.set(name, status)

    def wait(self) -> None:
        self._server.wait_for_termination()

    def stop(self) -> None:
        """Lets calls in flight finish for a few seconds."""
        self.set_serving(False)
        self._server.stop(STOP_GRACE_SECONDS).wait()

    def _open_own_endpoint(self, *, is_reached_directly: bool) -> Endpoint:
        """Where this process calls itself, whatever the port asks of others: a certificate does not
        name this machine's loopback. A socket without a file, so that nobody tidies it away; the
        guard admits nobody else there."""
        if is_reached_directly:
            return Endpoint(self.address, token=self._guard.own_token)
        address = f"unix-abstract:rsq-{secrets.token_hex(8)}"
        self._server.add_insecure_port(address)
        return Endpoint(address, token=self._guard.own_token)
