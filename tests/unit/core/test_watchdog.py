from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rsq.watchdog import Watchdog

WAIT_SECONDS = 10.0


class ServiceManager:
    """Receives what a service sends, as systemd does."""

    def __init__(self, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self._socket.settimeout(WAIT_SECONDS)
        self.environment = {"NOTIFY_SOCKET": name}

    def watch(self, period_seconds: float, *, pid: int | None = None) -> dict[str, str]:
        microseconds = str(int(period_seconds * 1e6))
        watched = {"WATCHDOG_USEC": microseconds, "WATCHDOG_PID": str(pid or os.getpid())}
        return {**self.environment, **watched}

    def receive(self) -> str:
        return self._socket.recv(4096).decode()

    def is_silent(self, seconds: float) -> bool:
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(4096)
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(WAIT_SECONDS)
        return False

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServiceManager]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@rsq-test-{tmp_path.name}"
    manager = ServiceManager(f"{name}-{os.getpid()}")
    yield manager
    manager.close()


def test_start_and_end_are_told_in_order(manager: ServiceManager) -> None:
    with Watchdog(manager.environment, answers=lambda: True) as watchdog:
        watchdog.state("Loading")
        watchdog.ready("Serving tiny:1")
    told = [manager.receive() for _ in range(3)]
    assert told == ["STATUS=Loading", "READY=1\nSTATUS=Serving tiny:1", "STOPPING=1"]


def test_signs_of_life_come_twice_a_period_once_ready(manager: ServiceManager) -> None:
    asked = threading.Event()

    def answers() -> bool:
        asked.set()
        return True

    with Watchdog(manager.watch(0.1), answers=answers) as watchdog:
        assert not asked.wait(0.2)  # systemd watches no service that isn't ready
        watchdog.ready("Serving")
        told = [manager.receive() for _ in range(4)]
    assert told == ["READY=1\nSTATUS=Serving", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"]


def test_no_sign_of_life_is_sent_while_nothing_answers(
    manager: ServiceManager, caplog: pytest.LogCaptureFixture
) -> None:
    answering = threading.Event()
    asked = threading.Semaphore(0)

    def answers() -> bool:
        asked.release()
        return answering.is_set()

    with Watchdog(manager.watch(0.2), answers=answers) as watchdog:
        watchdog.ready("Serving")
        assert manager.receive().startswith("READY=1")
        for _ in range(3):
            assert asked.acquire(timeout=WAIT_SECONDS)
        assert manager.is_silent(0.05)
        answering.set()
        assert manager.receive() == "WATCHDOG=1"
    assert "does not answer" in caplog.text


def test_a_process_that_is_not_the_one_watched_sends_no_sign_of_life(
    manager: ServiceManager,
) -> None:
    def answers() -> bool:
        raise AssertionError("asked")

    with Watchdog(manager.watch(0.02, pid=os.getpid() + 1), answers=answers) as watchdog:
        watchdog.ready("Serving")
        assert manager.receive().startswith("READY=1")
        assert manager.is_silent(0.1)


def test_nothing_happens_outside_of_systemd() -> None:
    before = threading.active_count()
    with Watchdog({"WATCHDOG_USEC": "20000"}, answers=lambda: True) as watchdog:
        watchdog.ready("Serving")
        assert threading.active_count() == before


def test_a_service_manager_that_went_away_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone = {"NOTIFY_SOCKET": str(tmp_path / "gone")}
    with Watchdog(gone, answers=lambda: True) as watchdog:
        watchdog.ready("Serving")
    assert "can't tell systemd" in caplog.text
