"""What this node has to run artifacts on."""

from __future__ import annotations

import platform

import psutil

from rsq.encoder import available_providers
from rsq.providers import TORCH_CUDA
from rsq.resolve import Device
from rsq.torch_tower import torch_providers

# The order in which a node prefers them; the first is the fastest where it is installed.
_PREFERENCE = (
    "TensorrtExecutionProvider",
    "CUDAExecutionProvider",
    "OpenVINOExecutionProvider",
    "CPUExecutionProvider",
)


def find_device() -> Device:
    """The device class and what runs artifacts here: the execution providers that are installed,
    preferred first, then torch's where torch is. The two never compete for one artifact."""
    installed = available_providers()
    providers = tuple(name for name in _PREFERENCE if name in installed)
    name = gpu_name()
    torch = torch_providers(gpu=name is not None)
    gpu = name if "CUDAExecutionProvider" in providers or TORCH_CUDA in torch else None
    if gpu is None:
        providers = tuple(name for name in providers if not name.startswith(("CUDA", "Tensorrt")))
    return Device(f"cuda:{gpu}" if gpu else "cpu", providers + torch)


def gpu_name() -> str | None:
    """The first GPU's product name by NVML, or None where there is no driver or no GPU."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        try:
            return str(pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0)))
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None


def memory_bytes() -> int:
    return int(psutil.virtual_memory().total)


def host_name() -> str:
    return platform.node()
