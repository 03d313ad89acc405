from __future__ import annotations

import sys
import threading

import pytest
from fake_nvml import FakeNvml

from rsq.errors import EnvironmentFault
from rsq.memory_meter import DeviceMemory, ResidentMemory, TowerMemory
from rsq.providers import CPU_PROVIDER, CUDA_PROVIDER

ME = 4711
BLOCK = 64 << 20


def test_resident_memory_keeps_its_peak_after_it_is_freed() -> None:
    meter = ResidentMemory()
    block = bytearray(BLOCK)
    held = meter.read()[1]
    del block
    peak, now = meter.read()
    assert meter.baseline_bytes > BLOCK / 8  # an interpreter with numpy
    assert held > 0.9 * BLOCK
    assert peak > 0.9 * BLOCK
    assert now < 0.5 * BLOCK


def test_device_memory_is_this_processs_and_counts_from_its_start() -> None:
    nvml = FakeNvml(processes={ME: 100, 1: 10**9})
    with DeviceMemory(nvml, process_id=ME) as meter:
        assert meter.baseline_bytes == 100
        nvml.processes[ME] = 900
        assert meter.read() == (800, 800)
        nvml.processes[ME] = 300
        assert meter.read() == (800, 200)
    assert nvml.open == 0


def test_a_peak_between_two_reads_is_seen() -> None:
    nvml = FakeNvml(processes={ME: 100})
    looks = threading.Semaphore(0)
    look = nvml.nvmlDeviceGetComputeRunningProcesses

    def notice(handle: int) -> list[object]:
        if nvml.processes[ME] == 5000:
            looks.release()
        return look(handle)

    nvml.nvmlDeviceGetComputeRunningProcesses = notice  # type: ignore[method-assign]
    with DeviceMemory(nvml, process_id=ME) as meter:
        nvml.processes[ME] = 5000
        for _ in range(2):  # when the second begins the first has been counted
            assert looks.acquire(timeout=10)
        nvml.processes[ME] = 200
        assert meter.read() == (4900, 100)


@pytest.mark.parametrize("mine", [{}, {ME: None}])
def test_where_nvml_does_not_know_the_process_the_devices_rise_counts(
    mine: dict[int, int | None],
) -> None:
    nvml = FakeNvml(processes=dict(mine), used_bytes=2000)
    with DeviceMemory(nvml, process_id=ME) as meter:
        assert meter.baseline_bytes == 0
        nvml.used_bytes = 2600
        assert meter.read() == (600, 600)


def test_a_gpu_that_cannot_be_measured_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvironmentFault, match="no driver"):
        DeviceMemory(FakeNvml(fault="no driver"))
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(EnvironmentFault, match="nvidia-ml-py"):
        DeviceMemory()


def test_the_meter_follows_where_the_tower_ended_up(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml(used_bytes=10)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)  # type: ignore[arg-type]
    with TowerMemory(CUDA_PROVIDER) as memory:
        nvml.used_bytes = 400
        assert memory.of(CUDA_PROVIDER).read() == (390, 390)
        assert isinstance(memory.of(CPU_PROVIDER), ResidentMemory)
    nvml.fault = "no driver"
    with TowerMemory(CUDA_PROVIDER) as memory:
        assert isinstance(memory.of(CPU_PROVIDER), ResidentMemory)  # it fell back
        with pytest.raises(EnvironmentFault, match="no driver"):
            memory.of(CUDA_PROVIDER)
