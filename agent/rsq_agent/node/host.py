"""What the machine says of itself. Quick to import, for a pull."""

from __future__ import annotations

import platform

import psutil


def memory_bytes() -> int:
    return int(psutil.virtual_memory().total)


def host_name() -> str:
    return platform.node()
