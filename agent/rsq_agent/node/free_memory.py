"""How much memory this node has left, and giving back what is no longer used."""

from __future__ import annotations

import ctypes
from pathlib import Path

import psutil

from rsq.torch_tower import return_cuda_memory

CGROUP = Path("/sys/fs/cgroup")


def free_bytes(*, on_gpu: bool) -> int | None:
    """Free memory of the GPU with the least of it, or of the machine within the limit of the
    process's container. None where a GPU can't be asked."""
    return _free_on_gpu() if on_gpu else _free_on_host(CGROUP)


def return_memory() -> None:
    """Hands freed memory back to the system and to the GPU. glibc keeps it otherwise, in a process
    of many threads often for good, and torch keeps what is on CUDA."""
    return_cuda_memory()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)


def _free_on_host(cgroup: Path) -> int:
    available = int(psutil.virtual_memory().available)
    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return available  # no container, or one without a limit
    reclaimable = int(stat.get("inactive_file", 0))
    return min(available, max(limit - used + reclaimable, 0))


def _free_on_gpu() -> int | None:
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        try:
            handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
            return min((int(pynvml.nvmlDeviceGetMemoryInfo(h).free) for h in handles), default=None)
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None
