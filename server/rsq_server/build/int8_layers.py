"""INT8 layers for torch, in operators that every torch has on the CPU and on CUDA.

torchao chooses the numbers: a weight's int8 values and scales come from its own quantizer, and the
activations follow its rule for dynamic per-row scales. Its tensor class is not exported, because

- what it traces is the kernel of the tracing machine: on a CPU with VNNI uint8 x int8, which CUDA's
  `torch._int_mm` refuses;
- a program that holds it can be loaded only by unpickling, and only where torchao is installed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# torchao's bounds: the scale maps the largest magnitude to half of the 255 steps.
_LOWEST, _HIGHEST = -128, 127
_HALF_STEPS = (_HIGHEST - _LOWEST) / 2
_SMALLEST_SCALE = torch.finfo(torch.float32).eps
# CUDA's torch._int_mm takes more rows than this, and rows and columns whose length is a multiple.
CUDA_ROWS_OVER = 16
CUDA_MULTIPLE = 8


class Int8Linear(nn.Module):
    """A linear layer, float32 [..., in] -> float32 [..., out], multiplied in INT8.

    `values` int8 [out, in] and `scales` float32 [out]; each row of the input gets a scale of its
    own while running, so a vector does not depend on its batch mates. `few_rows`: the input may
    have CUDA_ROWS_OVER rows or fewer, and is padded with zeros to what CUDA takes.
    """

    values: Tensor
    scales: Tensor
    bias: Tensor | None

    def __init__(
        self, values: Tensor, scales: Tensor, bias: Tensor | None, *, few_rows: bool
    ) -> None:
        super().__init__()
        self.register_buffer("values", values)
        self.register_buffer("scales", scales)
        self.register_buffer("bias", bias)
        self._few_rows = few_rows

    def forward(self, rows: Tensor) -> Tensor:
        flat = rows.reshape(-1, rows.shape[-1])
        scales = (flat.abs().amax(-1, keepdim=True) / _HALF_STEPS).clamp(min=_SMALLEST_SCALE)
        steps = (flat * (1 / scales)).round().clamp(_LOWEST, _HIGHEST).to(torch.int8)
        if self._few_rows:
            padded = nn.functional.pad(steps, (0, 0, 0, CUDA_ROWS_OVER))
            product = torch._int_mm(padded, self.values.t())[: flat.shape[0]]
        else:
            product = torch._int_mm(steps, self.values.t())
        result = product * scales * self.scales
        if self.bias is not None:
            result = result + self.bias
        return result.reshape(*rows.shape[:-1], result.shape[-1])


class Int8Embedding(nn.Module):
    """A look-up table, int64 [...] -> float32 [..., dim], of `values` int8 [rows, dim] and `scales`
    float32 [rows]."""

    values: Tensor
    scales: Tensor

    def __init__(self, values: Tensor, scales: Tensor) -> None:
        super().__init__()
        self.register_buffer("values", values)
        self.register_buffer("scales", scales[:, None])

    def forward(self, ids: Tensor) -> Tensor:
        return self.values[ids] * self.scales[ids]
