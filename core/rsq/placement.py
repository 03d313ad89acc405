"""Which provider runs the nodes of a loaded graph, and whether that is what was asked for.

ONNX Runtime keeps a session although its provider can't run a node, and gives that node to the CPU:
a "GPU" model may run on the CPU for the most part. It puts arithmetic on shapes there on purpose,
because that is faster, so a comparison has to tell the two apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from rsq.providers import CPU_PROVIDER, CUDA_PROVIDER, TENSORRT_PROVIDER, short_name

# What works on sizes, token ids and masks; a GPU provider leaves it to the CPU without harm. All
# else, and what a later operator set brings, works on the images and texts themselves.
LIGHT_OPERATORS = frozenset(
    {
        "Add", "And", "ArgMax", "Cast", "Concat", "Constant", "ConstantOfShape", "Div", "Equal",
        "Expand", "Gather", "GatherElements", "GatherND", "Greater", "GreaterOrEqual", "Identity",
        "Less", "LessOrEqual", "Max", "Min", "Mod", "Mul", "Not", "Or", "Range", "ReduceMax",
        "ReduceMin", "ReduceProd", "ReduceSum", "Reshape", "Shape", "Size", "Slice", "Split",
        "Squeeze", "Sub", "Unsqueeze", "Where",
    }
)  # fmt: skip

Placement = Mapping[str, Counter[str]]
"""Nodes by provider and operator."""


@dataclass(frozen=True)
class Fallback:
    """`reason` are words for an error. `is_whole`: nothing at all runs as asked."""

    reason: str
    is_whole: bool


def find_fallback(placement: Placement, provider: str) -> Fallback | None:
    """What runs elsewhere than on `provider` and matters; None where the graph runs as asked. CUDA
    may help TensorRT out, which runs on the same GPU."""
    if provider == CPU_PROVIDER:
        return None
    total = sum(operators.total() for operators in placement.values())
    if not placement.get(provider):
        return Fallback(f"none of its {total} operators run on {short_name(provider)}", True)
    allowed = {provider, CUDA_PROVIDER} if provider == TENSORRT_PROVIDER else {provider}
    stray: Counter[str] = Counter()
    for name, operators in placement.items():
        if name not in allowed:
            stray += Counter({op: n for op, n in operators.items() if op not in LIGHT_OPERATORS})
    if not stray:
        return None
    listed = ", ".join(f"{count} {operator}" for operator, count in stray.most_common(3))
    more = ", ..." if len(stray) > 3 else ""
    return Fallback(
        f"{stray.total()} of its {total} operators run on the CPU instead ({listed}{more})", False
    )
