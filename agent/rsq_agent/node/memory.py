"""How much memory this process holds."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Memory:
    resident_bytes: int
    device_bytes: int  # on the GPUs; 0 without one


def process_memory() -> Memory:
    return Memory(int(psutil.Process().memory_info().rss), _device_bytes())


def _device_bytes() -> int:
    """By NVML, over all GPUs. 0 where there is no driver, or where the process runs in a container
    whose process ids NVML doesn't know."""
    try:
        import pynvml
    except ImportError:
        return 0
    try:
        pynvml.nvmlInit()
        try:
            return sum(
                process.usedGpuMemory or 0
                for index in range(pynvml.nvmlDeviceGetCount())
                for process in pynvml.nvmlDeviceGetComputeRunningProcesses(
                    pynvml.nvmlDeviceGetHandleByIndex(index)
                )
                if process.pid == os.getpid()
            )
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return 0
