"""What an activation takes: memory and time, as measured on this node, else from its sizes."""

from __future__ import annotations

from rsq.prediction import estimate_peak
from rsq.providers import GPU_PROVIDERS
from rsq_agent.cache import Cache
from rsq_agent.state import Activation

# Hashed, opened and proved on two cores, the base-size INT8 pair ran 130 MB a second.
LOAD_BYTES_PER_SECOND = 100e6


def memory_bytes(cache: Cache, activation: Activation) -> int:
    """Raises NotFound where nothing was measured and a manifest is missing."""
    if activation.peak_bytes is not None:
        return activation.peak_bytes
    return sum(
        estimate_peak(
            cache.manifest(artifact_id).size_bytes,
            batch=activation.max_batch,
            on_gpu=provider in GPU_PROVIDERS,
        )
        for artifact_id, provider in zip(activation.artifacts, activation.providers, strict=True)
    )


def load_seconds(cache: Cache, activation: Activation) -> float:
    """Raises as `memory_bytes` does."""
    guess = file_bytes(cache, activation) / LOAD_BYTES_PER_SECOND
    return max(activation.load_seconds or 0.0, guess)


def file_bytes(cache: Cache, activation: Activation) -> int:
    """Of graphs and weights. Raises NotFound where a manifest is missing."""
    return sum(cache.manifest(artifact_id).size_bytes for artifact_id in activation.artifacts)


def runs_on_gpu(activation: Activation) -> bool:
    return any(name in GPU_PROVIDERS for name in activation.providers)
