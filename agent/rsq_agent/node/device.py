"""What this node has to run artifacts on."""

from __future__ import annotations

from rsq.device_class import gpu_class
from rsq.onnx_session import available_providers, cpu_class
from rsq.providers import (
    CUDA_PROVIDER,
    GPU_PROVIDERS,
    ONNX_PROVIDERS,
    TENSORRT_PROVIDER,
    TORCH_CUDA,
)
from rsq.resolve import Device
from rsq.tensorrt import has_tensorrt
from rsq.torch_tower import torch_providers


def find_device() -> Device:
    """The device class and what runs artifacts here: the execution providers that are installed,
    preferred first, then torch's where torch is. The two never compete for one artifact.

    Every CUDA build of ONNX Runtime lists TensorRT, whose libraries few nodes have: it counts only
    where they load.
    """
    installed = available_providers()
    providers = tuple(name for name in ONNX_PROVIDERS if name in installed)
    name = gpu_name()
    torch = torch_providers(gpu=name is not None)
    gpu = name if CUDA_PROVIDER in providers or TORCH_CUDA in torch else None
    if gpu is None:
        providers = tuple(name for name in providers if name not in GPU_PROVIDERS)
    elif TENSORRT_PROVIDER in providers and not has_tensorrt():
        providers = tuple(name for name in providers if name != TENSORRT_PROVIDER)
    return Device(gpu_class(gpu) if gpu else cpu_class(), providers + torch)


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
