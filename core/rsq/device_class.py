"""Device classes: what was measured on one device stands for all of its class, and with a margin
for others of its family."""

from __future__ import annotations

CPU = "cpu"
# x86 that adds INT8 products in 16 bits (`rsq.integer_products`): weights are converted in memory.
CPU_WITHOUT_VNNI = "cpu:no-vnni"


def gpu_class(name: str) -> str:
    """Of a GPU by its product name."""
    return f"cuda:{name}"


def family(device_class: str) -> str:
    """ "cuda" of "cuda:NVIDIA L4"."""
    return device_class.partition(":")[0]


def is_cpu(device_class: str) -> bool:
    return family(device_class) == CPU
