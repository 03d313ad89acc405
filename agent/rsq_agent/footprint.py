"""What an activation takes: memory and time, as measured on this node, else from its sizes."""

from __future__ import annotations

from rsq.prediction import ESTIMATED_BYTES, ESTIMATED_FACTOR
from rsq.providers import CUDA_PROVIDER, TENSORRT_PROVIDER, TORCH_CUDA
from rsq_agent.cache import Cache
from rsq_agent.state import Activation

# From a disk and through the runtime's optimizer; a cautious guess.
LOAD_BYTES_PER_SECOND = 100e6
_GPU_PROVIDERS = frozenset({CUDA_PROVIDER, TENSORRT_PROVIDER, TORCH_CUDA})


def memory_bytes(cache: Cache, activation: Activation) -> int:
    """Raises NotFound where nothing was measured and a manifest is missing."""
    if activation.peak_bytes is not None:
        return activation.peak_bytes
    sizes = [cache.manifest(artifact_id).size_bytes for artifact_id in activation.artifacts]
    return sum(int(size * ESTIMATED_FACTOR) + ESTIMATED_BYTES for size in sizes)


def load_seconds(cache: Cache, activation: Activation) -> float:
    """Raises as `memory_bytes` does."""
    if activation.load_seconds is not None:
        return activation.load_seconds
    sizes = [cache.manifest(artifact_id).size_bytes for artifact_id in activation.artifacts]
    return sum(sizes) / LOAD_BYTES_PER_SECOND


def runs_on_gpu(activation: Activation) -> bool:
    return any(name in _GPU_PROVIDERS for name in activation.providers)
