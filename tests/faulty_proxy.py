"""A TCP proxy that cuts, resets, slows, silences or damages what a server sends, or its clients."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

PIECE_BYTES = 16 << 10


@dataclass(frozen=True)
class Fault:
    """What happens to one connection. Offsets count the bytes that the server sends over it, or its
    client where the proxy harms uploads."""

    cut_at: int | None = None  # closed in order
    reset_at: int | None = None  # closed by a reset
    silent_at: int | None = None  # open, but nothing more comes
    flip_at: int | None = None  # a byte arrives changed
    bytes_per_second: int | None = None


@dataclass
class Proxy:
    """`address` is what clients call; `choose` gives the fault of each connection by its number."""

    address: str
    choose: Callable[[int], Fault]
    connections: int = 0
    sent_bytes: int = 0
    sockets: list[socket.socket] = field(default_factory=list)


@contextmanager
def run_proxy(
    target: str, choose: Callable[[int], Fault], *, harms_uploads: bool = False
) -> Iterator[Proxy]:
    listener = socket.create_server(("127.0.0.1", 0))
    host, port = target.rsplit(":", 1)
    proxy = Proxy(f"127.0.0.1:{listener.getsockname()[1]}", choose)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return  # the proxy has ended
            try:
                server = socket.create_connection((host, int(port)))
            except OSError:
                client.close()
                continue
            number = proxy.connections
            proxy.connections += 1
            proxy.sockets += [client, server]
            sender, receiver = (client, server) if harms_uploads else (server, client)
            threading.Thread(target=_forward, args=(receiver, sender), daemon=True).start()
            fault = proxy.choose(number)
            threading.Thread(
                target=_forward_badly, args=(sender, receiver, fault, proxy), daemon=True
            ).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield proxy
    finally:
        listener.close()
        for each in proxy.sockets:
            each.close()


def _forward(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(PIECE_BYTES):
            target.sendall(data)
    except OSError:
        pass
    _close(source, target)


def _forward_badly(
    source: socket.socket, target: socket.socket, fault: Fault, proxy: Proxy
) -> None:
    sent = 0
    ends = [at for at in (fault.cut_at, fault.reset_at, fault.silent_at) if at is not None]
    end = min(ends, default=None)
    try:
        while data := source.recv(PIECE_BYTES):
            if fault.flip_at is not None and sent <= fault.flip_at < sent + len(data):
                changed = bytearray(data)
                changed[fault.flip_at - sent] ^= 0x40
                data = bytes(changed)
            if end is not None and sent + len(data) >= end:
                target.sendall(data[: end - sent])
                if fault.silent_at == end:
                    while source.recv(PIECE_BYTES):
                        pass  # swallowed
                elif fault.reset_at == end:
                    linger = struct.pack("ii", 1, 0)
                    target.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                break
            target.sendall(data)
            sent += len(data)
            proxy.sent_bytes += len(data)
            if fault.bytes_per_second is not None:
                time.sleep(len(data) / fault.bytes_per_second)
    except OSError:
        pass
    _close(source, target)


def _close(*sockets: socket.socket) -> None:
    for each in sockets:
        try:
            # Wakes the thread that reads from it; until then closing has no effect.
            each.shutdown(socket.SHUT_RD)
        except OSError:
            pass
        each.close()
