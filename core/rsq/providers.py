"""The names of what runs an artifact: ONNX Runtime's execution providers, and torch's devices
beside them, unlike any of those."""

from __future__ import annotations

CPU_PROVIDER = "CPUExecutionProvider"
CUDA_PROVIDER = "CUDAExecutionProvider"
TENSORRT_PROVIDER = "TensorrtExecutionProvider"
OPENVINO_PROVIDER = "OpenVINOExecutionProvider"
TORCH_CPU = "TorchCPU"
TORCH_CUDA = "TorchCUDA"
