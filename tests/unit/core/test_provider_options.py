from __future__ import annotations

from pathlib import Path

import pytest

from rsq.provider_options import NO_RULES, DeviceRules, provider_chain
from rsq.providers import CPU_PROVIDER, CUDA_PROVIDER, OPENVINO_PROVIDER, TENSORRT_PROVIDER


def _names(provider: str, rules: DeviceRules = NO_RULES) -> list[str]:
    return [name for name, _ in provider_chain(provider, rules, threads=2)]


@pytest.mark.parametrize("provider", [CUDA_PROVIDER, OPENVINO_PROVIDER])
def test_the_cpu_stands_behind_a_provider_only_by_leave(provider: str) -> None:
    assert _names(provider) == [provider]
    assert _names(provider, DeviceRules(allow_cpu=True)) == [provider, CPU_PROVIDER]


def test_tensorrt_has_cuda_behind_it_and_the_cpu_only_by_leave() -> None:
    assert _names(TENSORRT_PROVIDER) == [TENSORRT_PROVIDER, CUDA_PROVIDER]
    assert _names(TENSORRT_PROVIDER, DeviceRules(allow_cpu=True))[-1] == CPU_PROVIDER


def test_the_cpu_is_named_once() -> None:
    assert _names(CPU_PROVIDER, DeviceRules(allow_cpu=True)) == [CPU_PROVIDER]


def test_a_gpus_memory_is_capped_where_there_is_a_budget() -> None:
    chain = dict(provider_chain(TENSORRT_PROVIDER, DeviceRules(memory_bytes=900), threads=2))
    assert chain[TENSORRT_PROVIDER]["trt_max_workspace_size"] == "900"
    assert chain[CUDA_PROVIDER]["gpu_mem_limit"] == "900"
    # Growth by doubling would meet the cap at half of it.
    assert chain[CUDA_PROVIDER]["arena_extend_strategy"] == "kSameAsRequested"
    uncapped = dict(provider_chain(TENSORRT_PROVIDER, NO_RULES, threads=2))
    assert "gpu_mem_limit" not in uncapped[CUDA_PROVIDER]
    assert "trt_max_workspace_size" not in uncapped[TENSORRT_PROVIDER]


def test_what_was_compiled_is_kept_in_the_folder_that_the_rules_name() -> None:
    rules = DeviceRules(cache_folder=Path("/data/compiled"))
    tensorrt = dict(provider_chain(TENSORRT_PROVIDER, rules, threads=2))[TENSORRT_PROVIDER]
    assert tensorrt["trt_engine_cache_enable"] == "True"
    assert tensorrt["trt_engine_cache_path"] == "/data/compiled/tensorrt"
    openvino = dict(provider_chain(OPENVINO_PROVIDER, rules, threads=3))[OPENVINO_PROVIDER]
    assert openvino == {
        "device_type": "CPU",
        "num_of_threads": "3",
        "cache_dir": "/data/compiled/openvino",
    }
    assert "cache_dir" not in dict(provider_chain(OPENVINO_PROVIDER, NO_RULES, threads=3))
