"""What ONNX Runtime is told of a provider: its memory limit, its caches, its threads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rsq import providers
from rsq.providers import CPU_PROVIDER, CUDA_PROVIDER, TENSORRT_PROVIDER

Options = dict[str, str]


@dataclass(frozen=True)
class DeviceRules:
    """What one tower may do on its device.

    `memory_bytes` caps what it takes of a GPU's memory beyond the runtime's own context; None: no
    cap. Compiled graphs are kept in `cache_folder`; None: nowhere. With `allow_cpu`, what the
    provider can't run runs on the CPU; otherwise that is an error.
    """

    memory_bytes: int | None = None
    cache_folder: Path | None = None
    allow_cpu: bool = False


NO_RULES = DeviceRules()


def provider_chain(provider: str, rules: DeviceRules, *, threads: int) -> list[tuple[str, Options]]:
    """The providers of a session with their options, the one that was asked for first.

    CUDA stands behind TensorRT, on the same GPU, for what TensorRT has no kernel for. The CPU
    stands behind another provider only where the rules allow it.
    """
    names = [provider]
    if provider == TENSORRT_PROVIDER:
        names.append(CUDA_PROVIDER)
    if rules.allow_cpu and provider != CPU_PROVIDER:
        names.append(CPU_PROVIDER)
    return [(name, _options(name, rules, threads)) for name in names]


def _options(provider: str, rules: DeviceRules, threads: int) -> Options:
    match provider:
        case providers.CUDA_PROVIDER:
            return _cuda_options(rules)
        case providers.TENSORRT_PROVIDER:
            return _tensorrt_options(rules)
        case providers.OPENVINO_PROVIDER:
            return _openvino_options(rules, threads)
    return {}


def _cuda_options(rules: DeviceRules) -> Options:
    options = {
        # The default doubles each block, so a cap or a budget would be hit at half its size.
        "arena_extend_strategy": "kSameAsRequested",
        # The default tries every algorithm at first use, with workspaces that rule the peak; a
        # tower has one convolution.
        "cudnn_conv_algo_search": "HEURISTIC",
    }
    if rules.memory_bytes is not None:
        options["gpu_mem_limit"] = str(rules.memory_bytes)
    return options


def _tensorrt_options(rules: DeviceRules) -> Options:
    options = {}
    if rules.memory_bytes is not None:
        options["trt_max_workspace_size"] = str(rules.memory_bytes)
    if rules.cache_folder is not None:
        folder = str(rules.cache_folder / "tensorrt")
        options |= {
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": folder,
            "trt_timing_cache_enable": "True",
            "trt_timing_cache_path": folder,
        }
    return options


def _openvino_options(rules: DeviceRules, threads: int) -> Options:
    # Named, because the default is whatever its build was made for.
    options = {"device_type": "CPU", "num_of_threads": str(threads)}
    if rules.cache_folder is not None:
        options["cache_dir"] = str(rules.cache_folder / "openvino")
    return options
