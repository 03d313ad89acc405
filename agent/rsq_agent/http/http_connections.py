"""An HTTP server whose every connection costs one of a bounded number of threads for a bounded
time, whatever its client does or leaves undone."""

from __future__ import annotations

import io
import select
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MAX_CONNECTIONS = 64
HEADER_SECONDS = 10.0  # for a request's head, and for the pause before it
BODY_SECONDS = 60.0
WRITE_SECONDS = 30.0  # for a whole response
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
    b"Content-Length: 0\r\n\r\n"
)


class BoundedServer(ThreadingHTTPServer):
    """One thread a connection; those beyond MAX_CONNECTIONS are answered 503 and closed."""

    daemon_threads = True
    block_on_close = False  # each ends within its own bounds
    allow_reuse_address = True
    request_queue_size = 128  # the default of 5 makes a burst of clients wait for seconds

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        if ":" in host:
            self.address_family = socket.AF_INET6
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__((host, port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            try:
                super().process_request(request, client_address)
            except BaseException:
                self._free.release()
                raise
            return
        request.setblocking(False)
        try:
            request.send(_FULL)
        except OSError:
            pass
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is the client's affair; the handler answers for the rest."""


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
        return connection.recv(1, socket.MSG_PEEK) != b""
    except OSError:
        return False
