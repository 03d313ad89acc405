from __future__ import annotations

from collections import Counter

import pytest

from rsq.placement import Fallback, find_fallback
from rsq.providers import CPU_PROVIDER, CUDA_PROVIDER, OPENVINO_PROVIDER, TENSORRT_PROVIDER

TOWER = Counter({"MatMul": 74, "Attention": 13, "Gelu": 12})
SHAPES = Counter({"Shape": 1, "Gather": 2, "Concat": 2})


def test_arithmetic_on_shapes_may_stay_on_the_cpu() -> None:
    assert find_fallback({CUDA_PROVIDER: TOWER, CPU_PROVIDER: SHAPES}, CUDA_PROVIDER) is None


@pytest.mark.parametrize(
    "operator", ["MatMulInteger", "QLinearMatMul", "Conv", "Softmax", "OperatorOfLater"]
)
def test_one_operator_on_the_cpu_that_matters_is_a_fallback(operator: str) -> None:
    stray = Counter({operator: 1, "Shape": 1})
    found = find_fallback({CUDA_PROVIDER: TOWER, CPU_PROVIDER: stray}, CUDA_PROVIDER)
    assert found is not None
    assert not found.is_whole
    assert found.reason == f"1 of its 101 operators run on the CPU instead (1 {operator})"


def test_the_most_frequent_are_named_first_and_only_three_of_them() -> None:
    stray = Counter({"MatMulInteger": 72, "Softmax": 12, "Conv": 1, "Erf": 5})
    found = find_fallback({CUDA_PROVIDER: TOWER, CPU_PROVIDER: stray}, CUDA_PROVIDER)
    assert found is not None
    assert found.reason.endswith("(72 MatMulInteger, 12 Softmax, 5 Erf, ...)")


def test_a_provider_that_runs_nothing_is_a_fallback_even_where_all_of_it_is_light() -> None:
    found = find_fallback({CPU_PROVIDER: SHAPES}, OPENVINO_PROVIDER)
    assert found == Fallback("none of its 5 operators run on openvino", is_whole=True)


def test_cuda_may_help_tensorrt_and_not_the_other_way_round() -> None:
    both = {TENSORRT_PROVIDER: TOWER, CUDA_PROVIDER: Counter({"Gelu": 1})}
    assert find_fallback(both, TENSORRT_PROVIDER) is None
    assert find_fallback(both, CUDA_PROVIDER) is not None
    assert find_fallback({CUDA_PROVIDER: TOWER}, TENSORRT_PROVIDER) is not None


def test_what_was_asked_of_the_cpu_runs_as_asked() -> None:
    assert find_fallback({CPU_PROVIDER: TOWER}, CPU_PROVIDER) is None
