"""Stands for the module `pynvml`: GPUs whose memory a test sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    pass


@dataclass
class FakeNvml:
    """`processes` are bytes by process id on the one GPU; `used_bytes` what the whole device says
    is used."""

    names: tuple[str, ...] = ("NVIDIA L4",)
    processes: dict[int, int | None] = field(default_factory=dict)
    used_bytes: int = 0
    fault: str | None = None
    cuda_version: int = 13000
    driver_version: str = "580.65"
    open: int = 0
    NVMLError: type[Exception] = NVMLError

    def nvmlInit(self) -> None:
        if self.fault is not None:
            raise NVMLError(self.fault)
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.names)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> str:
        return self.names[handle]

    def nvmlSystemGetCudaDriverVersion(self) -> int:
        return self.cuda_version

    def nvmlSystemGetDriverVersion(self) -> str:
        return self.driver_version

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:
        return [
            SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self.processes.items()
        ]

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(used=self.used_bytes)
