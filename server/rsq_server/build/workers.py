"""How much of the machine a publish uses."""

from __future__ import annotations

import os

MAX_WORKERS = 8  # a profile with more threads resembles no edge node


def available_workers() -> int:
    """Inputs embedded at once, and threads of a profiled session: the cores this process may use,
    up to MAX_WORKERS."""
    return min(len(os.sched_getaffinity(0)), MAX_WORKERS)
