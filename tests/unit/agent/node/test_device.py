from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from rsq.onnx_session import available_providers, cpu_class
from rsq.providers import (
    CPU_PROVIDER,
    CUDA_PROVIDER,
    TENSORRT_PROVIDER,
    TORCH_CPU,
    TORCH_CUDA,
)
from rsq_agent.node import device
from rsq_agent.node.device import find_device


def test_a_node_without_a_gpu_is_of_class_cpu_and_lists_torch_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device, "gpu_name", lambda: None)
    found = find_device()
    assert found.device_class == cpu_class()
    assert CPU_PROVIDER in found.providers
    assert found.providers[-1] == TORCH_CPU
    assert not any("CUDA" in name or "Tensorrt" in name for name in found.providers)


def test_a_gpu_is_used_by_torch_even_where_onnx_runtime_cannot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device, "gpu_name", lambda: "NVIDIA L4")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    found = find_device()
    assert found.device_class == "cuda:NVIDIA L4"
    assert found.providers[-2:] == (TORCH_CUDA, TORCH_CPU)


def test_a_gpu_that_no_installed_runtime_uses_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "CUDAExecutionProvider" in available_providers():
        pytest.skip("this machine's ONNX Runtime is built for CUDA")
    monkeypatch.setattr(device, "gpu_name", lambda: "NVIDIA L4")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = find_device()
    assert found.device_class == cpu_class()
    assert TORCH_CUDA not in found.providers


def test_without_a_gpu_torch_is_not_imported_to_find_out() -> None:
    code = (
        "import sys; from rsq_agent.node import device; device.gpu_name = lambda: None;"
        "assert device.find_device().providers[-1] == 'TorchCPU'; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tensorrt_counts_only_where_its_libraries_load(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = (TENSORRT_PROVIDER, CUDA_PROVIDER, CPU_PROVIDER)
    monkeypatch.setattr(device, "available_providers", lambda: listed)
    monkeypatch.setattr(device, "gpu_name", lambda: "NVIDIA L4")
    monkeypatch.setattr(device, "torch_providers", lambda gpu: ())
    monkeypatch.setattr(device, "has_tensorrt", lambda: True)
    assert find_device().providers == listed
    monkeypatch.setattr(device, "has_tensorrt", lambda: False)
    assert find_device().providers == listed[1:]
