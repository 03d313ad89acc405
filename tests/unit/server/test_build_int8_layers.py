from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from rsq_server.build.int8_layers import CUDA_ROWS_OVER, Int8Embedding, Int8Linear
from rsq_server.build.quiet import quiet

with quiet():
    from torchao.quantization import (
        Int8DynamicActivationInt8WeightConfig,
        Int8WeightOnlyConfig,
        quantize_,
    )


def _torchao_linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    linear = nn.Linear(inputs, outputs, bias=bias)
    with torch.no_grad():
        linear.weight[:, 0] *= 20  # an outlier channel
    quantize_(linear, Int8DynamicActivationInt8WeightConfig(set_inductor_config=False))
    return linear


def _int8_linear(linear: nn.Linear, *, few_rows: bool) -> Int8Linear:
    weight = linear.weight
    return Int8Linear(weight.qdata, weight.scale.flatten(), linear.bias, few_rows=few_rows)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("few_rows", [True, False])
def test_a_linear_layer_computes_what_torchao_does_bit_for_bit(bias: bool, few_rows: bool) -> None:
    linear = _torchao_linear(48, 24, bias=bias)
    ours = _int8_linear(linear, few_rows=few_rows)
    for shape in ((1, 48), (3, 48), (2, 5, 48), (40, 48)):
        rows = torch.randn(shape) * 3
        with torch.inference_mode():
            assert torch.equal(ours(rows), linear(rows))


def test_rows_of_zeros_and_of_any_scale_are_computed() -> None:
    ours = _int8_linear(_torchao_linear(16, 8, bias=False), few_rows=True)
    rows = torch.randn(1, 16)
    with torch.inference_mode():
        assert torch.equal(ours(torch.zeros(2, 16)), torch.zeros(2, 8))
        # The scale follows the row: a larger row loses no more.
        assert ours(rows * 1024) == pytest.approx((ours(rows) * 1024).numpy(), rel=1e-5)


def test_few_rows_are_padded_to_what_cuda_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    multiply = torch._int_mm

    def watch(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        seen.append(left.shape[0])
        assert left.dtype == right.dtype == torch.int8  # uint8 is for CPUs only
        return multiply(left, right)

    monkeypatch.setattr(torch, "_int_mm", watch)
    linear = _torchao_linear(16, 8)
    _int8_linear(linear, few_rows=True)(torch.randn(1, 16))
    _int8_linear(linear, few_rows=False)(torch.randn(20, 16))
    assert seen == [CUDA_ROWS_OVER + 1, 20]


def test_an_embedding_looks_up_what_torchao_dequantizes() -> None:
    torch.manual_seed(0)
    table = nn.Embedding(30, 16)
    plain = copy.deepcopy(table)
    holder = nn.ModuleDict({"table": table})
    quantize_(
        holder,
        Int8WeightOnlyConfig(set_inductor_config=False),
        filter_fn=lambda part, _: isinstance(part, nn.Embedding),
    )
    weight = table.weight
    ours = Int8Embedding(weight.qdata, weight.scale.flatten())
    ids = torch.tensor([[0, 29, 7], [7, 7, 1]])
    assert ours(ids).shape == (2, 3, 16)
    assert torch.equal(ours(ids), weight.dequantize()[ids])
    steps = plain.weight.abs().amax(1)[ids][..., None] / 127
    assert ((ours(ids) - plain(ids)).abs() <= steps / 2 * 1.01).all()
