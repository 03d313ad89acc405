"""The names of what runs an artifact: ONNX Runtime's execution providers, and torch's devices
beside them, unlike any of those."""

from __future__ import annotations

CPU_PROVIDER = "CPUExecutionProvider"
CUDA_PROVIDER = "CUDAExecutionProvider"
TENSORRT_PROVIDER = "TensorrtExecutionProvider"
OPENVINO_PROVIDER = "OpenVINOExecutionProvider"
TORCH_CPU = "TorchCPU"
TORCH_CUDA = "TorchCUDA"

# As users read and write them, in the order in which a node prefers them. ONNX Runtime's and
# torch's never compete for one artifact.
SHORT_NAMES = {
    TENSORRT_PROVIDER: "tensorrt",
    CUDA_PROVIDER: "cuda",
    OPENVINO_PROVIDER: "openvino",
    CPU_PROVIDER: "cpu",
    TORCH_CUDA: "torch-cuda",
    TORCH_CPU: "torch-cpu",
}
ONNX_PROVIDERS = (TENSORRT_PROVIDER, CUDA_PROVIDER, OPENVINO_PROVIDER, CPU_PROVIDER)
GPU_PROVIDERS = frozenset({TENSORRT_PROVIDER, CUDA_PROVIDER, TORCH_CUDA})


def short_name(provider: str) -> str:
    """`cuda` of "CUDAExecutionProvider"; a provider without a short name keeps its own."""
    return SHORT_NAMES.get(provider, provider)
