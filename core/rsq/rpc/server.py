"""A gRPC server as rsq runs it: sync thread pool, health, reflection, bounded, loopback unless told
otherwise."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from rsq.call_record import CallRecord
from rsq.errors import BadInput, EnvironmentFault
from rsq.rpc.channel import MAX_MESSAGE_BYTES, split_address
from rsq.rpc.interceptor import CallInterceptor

MAX_CONCURRENT = 48
SPARE_THREADS = 8  # for health and reflection, which never wait behind the rest
STOP_GRACE_SECONDS = 5.0


class RpcServer:
    """Owns the grpc server, its bound port and its health state.

    `services` are (full service name, function that adds its servicer to a grpc server). `on_end`
    hears of every call when it ends, in the thread that answered it.
    """

    def __init__(
        self,
        services: Sequence[tuple[str, Callable[[grpc.Server], None]]],
        *,
        listen: str,
        insecure: bool = False,
        on_end: Sequence[Callable[[CallRecord], None]] = (),
    ) -> None:
        host, port = split_address(listen)
        require_loopback(listen, insecure=insecure)
        self._health = health.HealthServicer()
        self._names = [name for name, _ in services]
        self._server = grpc.server(
            ThreadPoolExecutor(MAX_CONCURRENT + SPARE_THREADS, thread_name_prefix="rpc"),
            interceptors=[CallInterceptor(max_concurrent=MAX_CONCURRENT, on_end=on_end)],
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
        try:
            bound = self._server.add_insecure_port(listen)
        except RuntimeError as e:
            raise EnvironmentFault(
                f"Can't listen on {listen}: the port is in use or not allowed here. "
                "Choose another with --listen HOST:PORT."
            ) from e
        shown = f"[{host}]" if ":" in host else host
        self.address = f"{shown}:{bound or port}"

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


def require_loopback(listen: str, *, insecure: bool) -> None:
    """Raises BadInput for a HOST:PORT that other machines reach, unless `insecure`."""
    host, _ = split_address(listen)
    if not insecure and not is_loopback(host):
        raise BadInput(
            f"{listen} is reachable from other machines and this connection is not encrypted. "
            "Listen on 127.0.0.1, or pass --insecure if the network is trusted."
        )


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
