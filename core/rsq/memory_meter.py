"""How much memory a tower takes in this process: resident memory on a CPU, device memory by NVML on
a GPU. Both start from what the process held before the tower was loaded.
"""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from rsq.errors import EnvironmentFault
from rsq.providers import GPU_PROVIDERS

SAMPLE_SECONDS = 0.005  # between two looks at a GPU, which keeps no peak of its own


class MemoryMeter(Protocol):
    baseline_bytes: int

    def read(self) -> tuple[int, int]:
        """Bytes over the baseline since the meter was made: the most, and now."""
        ...


class TowerMemory:
    """Measures inside its block a tower that is asked for on `provider` and may end up elsewhere,
    which is known only once it is loaded."""

    def __init__(self, provider: str) -> None:
        self._host = ResidentMemory()
        self._device: DeviceMemory | EnvironmentFault | None = None
        if provider in GPU_PROVIDERS:
            try:
                self._device = DeviceMemory()
            except EnvironmentFault as e:  # of no weight where the tower falls back to the CPU
                self._device = e

    def __enter__(self) -> Self:
        if isinstance(self._device, DeviceMemory):
            self._device.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(self._device, DeviceMemory):
            self._device.__exit__(kind, error, trace)

    def of(self, provider: str) -> MemoryMeter:
        """The meter for what runs the tower. Raises EnvironmentFault where it can't measure."""
        if provider not in GPU_PROVIDERS:
            return self._host
        if isinstance(self._device, DeviceMemory):
            return self._device
        raise self._device or EnvironmentFault(f"Nothing was asked for on {provider}.")


class ResidentMemory:
    """The kernel's own peak, set back at the start."""

    def __init__(self) -> None:
        self.baseline_bytes = _reset_peak()

    def read(self) -> tuple[int, int]:
        now = resident_bytes()
        # The kernel keeps the two counters apart and may show the peak a page behind.
        peak = max(_peak_bytes(), now)
        return max(peak - self.baseline_bytes, 0), max(now - self.baseline_bytes, 0)


class DeviceMemory:
    """What NVML says of this process on all GPUs, looked at again and again.

    In a container NVML may list no process, or list it under the host's number. The rise of the
    whole device's use then stands for it, which is right only while nothing else runs there.
    """

    def __init__(self, nvml: Any = None, *, process_id: int | None = None) -> None:
        """`nvml` is the module `pynvml` or what stands for it."""
        self._nvml = nvml or _import_nvml()
        self._process_id = process_id or os.getpid()
        try:
            self._nvml.nvmlInit()
            count = self._nvml.nvmlDeviceGetCount()
            self._devices = [self._nvml.nvmlDeviceGetHandleByIndex(i) for i in range(count)]
            self._used_before = self._used_bytes()
        except self._nvml.NVMLError as e:
            raise EnvironmentFault(f"NVML can't measure this GPU's memory: {e}.") from e
        # Of a fresh process; CUDA's own context belongs to the tower that needs it.
        self.baseline_bytes = self._process_bytes() or 0
        self._peak_bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory-meter", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._nvml.nvmlShutdown()

    def read(self) -> tuple[int, int]:
        now = self._risen_bytes()
        self._peak_bytes = max(self._peak_bytes, now)
        return self._peak_bytes, now

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self.read()

    def _risen_bytes(self) -> int:
        mine = self._process_bytes()
        if mine is None:
            return max(self._used_bytes() - self._used_before, 0)
        return max(mine - self.baseline_bytes, 0)

    def _process_bytes(self) -> int | None:
        """None where NVML does not know this process, or not its memory."""
        known = [
            process.usedGpuMemory
            for device in self._devices
            for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(device)
            if process.pid == self._process_id and process.usedGpuMemory is not None
        ]
        return sum(known) if known else None

    def _used_bytes(self) -> int:
        return sum(int(self._nvml.nvmlDeviceGetMemoryInfo(one).used) for one in self._devices)


def resident_bytes() -> int:
    return _status_bytes("VmRSS:")


def _import_nvml() -> Any:
    try:
        import pynvml
    except ImportError as e:
        raise EnvironmentFault(
            "Memory on a GPU is measured with nvidia-ml-py, which is not installed. Install "
            "rsq-agent[cuda] or rsq-agent[torch]."
        ) from e
    return pynvml


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise EnvironmentFault(f"/proc/self/status has no {field}; memory can't be measured here.")


def _reset_peak() -> int:
    """Starts a new peak and returns what is resident now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        # Some sandboxes forbid it. The peak then starts at the one of the imports, the lowest
        # baseline that never understates the rise.
        return min(resident_bytes(), _peak_bytes())
    return resident_bytes()


def _peak_bytes() -> int:
    try:
        return _status_bytes("VmHWM:")
    except EnvironmentFault:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
