"""What a service tells systemd of itself: that it is ready, and then, at intervals, that it still
answers.

The protocol is sd_notify's: datagrams of NAME=VALUE lines to the socket that NOTIFY_SOCKET names.
https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

log = logging.getLogger("rsq.watchdog")

# Of WATCHDOG_USEC, as sd_watchdog_enabled(3) advises.
BEAT = 1 / 2
# A check that failed by chance leaves time for others before the period is over.
RETRY = 1 / 10


class Watchdog:
    """Says STOPPING=1 at the end of its block. Outside of systemd it does nothing."""

    def __init__(self, environment: Mapping[str, str], *, answers: Callable[[], bool]) -> None:
        """`answers` says whether this process does its work; a thread of its own asks, and only
        when systemd watches."""
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._period_seconds = _period_seconds(environment) if self._address else None
        self._answers = answers
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._send("STOPPING=1")
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def state(self, text: str) -> None:
        """What `systemctl status` shows, one line."""
        self._send(f"STATUS={text}")

    def ready(self, text: str) -> None:
        """To be called once. systemd starts what waits for this service and begins to watch."""
        self._send(f"READY=1\nSTATUS={text}")
        if self._period_seconds is not None:
            self._thread = threading.Thread(
                target=self._watch, args=(self._period_seconds,), name="watchdog", daemon=True
            )
            self._thread.start()

    def _watch(self, period_seconds: float) -> None:
        answered = True
        while not self._stopping.wait(period_seconds * (BEAT if answered else RETRY)):
            answered = self._answers()
            if answered:
                self._send("WATCHDOG=1")
            else:
                log.warning("does not answer; systemd will end it unless that changes")

    def _send(self, lines: str) -> None:
        if not self._address:
            return
        # "@" stands for the zero byte that begins an abstract name.
        name = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
                datagrams.sendto(lines.encode(), name)
        except OSError as e:
            log.warning("can't tell systemd: %s", e)


def _period_seconds(environment: Mapping[str, str]) -> float | None:
    """How long systemd waits for a sign of life, or None where it doesn't watch this process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = environment.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdecimal() else None
