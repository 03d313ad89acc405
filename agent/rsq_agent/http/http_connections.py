"""An HTTP server whose every connection costs one of a bounded number of threads for a bounded
time, whatever its client does or leaves undone."""

from __future__ import annotations

import io
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MAX_CONNECTIONS = 64
# Beyond them, so that a supervisor hears of a busy agent that it lives.
HEALTH_CONNECTIONS = 4
HEALTH_SECONDS = 1.0  # for the head of a request on one of those
HEADER_SECONDS = 10.0  # for a request's head, and for the pause before it
HANDSHAKE_SECONDS = 10.0
BODY_SECONDS = 60.0
WRITE_SECONDS = 30.0  # for a whole response
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
    b"Content-Length: 0\r\n\r\n"
)


class BoundedServer(ThreadingHTTPServer):
    """One thread a connection. HEALTH_CONNECTIONS beyond MAX_CONNECTIONS may ask for health only,
    and those beyond them are answered 503 and closed. Each begins with a handshake where `tls`
    gives the context for it."""

    daemon_threads = True
    block_on_close = False  # each ends within its own bounds
    allow_reuse_address = True
    request_queue_size = 128  # the default of 5 makes a burst of clients wait for seconds

    def __init__(
        self,
        host: str,
        port: int,
        handler: type[BaseHTTPRequestHandler],
        *,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._tls = tls
        if ":" in host:
            self.address_family = socket.AF_INET6
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._free_for_health = threading.BoundedSemaphore(HEALTH_CONNECTIONS)
        self._for_health: set[Any] = set()  # addresses of clients
        super().__init__((host, port), handler)

    def is_for_health(self, client_address: Any) -> bool:
        """Whether that connection has one of the places for health."""
        return client_address in self._for_health

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._take_place(client_address):
            try:
                super().process_request(request, client_address)
            except BaseException:
                self._leave_place(client_address)
                raise
            return
        if self._tls is None:
            request.setblocking(False)
            with suppress(OSError):
                request.send(_FULL)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            if self._tls is not None:
                brief = self.is_for_health(client_address)
                seconds = HEALTH_SECONDS if brief else HANDSHAKE_SECONDS
                request = shake_hands(request, self._tls(), seconds)
            super().process_request_thread(request, client_address)
        except OSError:
            self.shutdown_request(request)  # the handshake came to nothing
        finally:
            self._leave_place(client_address)

    def _take_place(self, client_address: Any) -> bool:
        if self._free.acquire(blocking=False):
            return True
        if self._free_for_health.acquire(blocking=False):
            self._for_health.add(client_address)
            return True
        return False

    def _leave_place(self, client_address: Any) -> None:
        if client_address in self._for_health:
            self._for_health.remove(client_address)
            self._free_for_health.release()
        else:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is the client's affair; the handler answers for the rest."""


def shake_hands(
    connection: socket.socket, context: ssl.SSLContext, seconds: float = HANDSHAKE_SECONDS
) -> ssl.SSLSocket:
    """Takes `connection` over. Raises OSError when the handshake fails, TimeoutError when the whole
    of it takes longer; the connection is then closed."""
    ends = time.monotonic() + seconds
    connection.setblocking(False)
    secured = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
    try:
        while (event := _shake_on(secured)) is not None:
            poll = select.poll()
            poll.register(secured, event)
            if not poll.poll(max(ends - time.monotonic(), 0) * 1000):
                raise TimeoutError
    except BaseException:
        secured.close()
        raise
    return secured


def _shake_on(connection: ssl.SSLSocket) -> int | None:
    """What the handshake waits for now; None when it is done."""
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        return select.POLLIN
    except ssl.SSLWantWriteError:
        return select.POLLOUT
    return None


class TimedReader(io.RawIOBase):
    """Reads a socket until a moment that may be moved. A socket's own timeout starts anew with each
    byte, so a client that drips would never be late."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.allow(HEADER_SECONDS)

    def allow(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises TimeoutError."""
        remaining = self._ends - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._connection.settimeout(remaining)
        return self._connection.recv_into(buffer)


def is_connected(connection: socket.socket) -> bool:
    """Whether the client still waits, as far as its side of the connection tells."""
    try:
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        if not poll.poll(0):
            return True
        # What TLS would make of it is not the question: only whether the client has gone.
        return socket.socket.recv(connection, 1, socket.MSG_PEEK) != b""
    except OSError:
        return False
