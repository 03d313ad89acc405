from __future__ import annotations

import threading

from rsq_agent.repeated import Repeated


def test_the_task_runs_again_and_again_until_the_end() -> None:
    runs = threading.Semaphore(0)
    with Repeated("test", runs.release, seconds=0.001):
        for _ in range(3):
            assert runs.acquire(timeout=20)
    while runs.acquire(blocking=False):
        pass
    assert not runs.acquire(timeout=0.05)


def test_an_end_does_not_wait_for_the_next_turn() -> None:
    runs = threading.Semaphore(0)
    with Repeated("test", runs.release, seconds=3600):
        pass
    assert not runs.acquire(blocking=False)
