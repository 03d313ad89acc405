"""Whether ONNX Runtime adds products of uint8 and int8 exactly on this CPU.

x86 without VNNI adds them in pairs in 16 bits, where large ones saturate: an INT8 network then
computes something else than it was made to.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from rsq.providers import CPU_PROVIDER

# c = MatMulInteger(a, b) with a uint8 [2, 2], b = [[127], [127]] int8 and c int32 [2, 1], as ONNX
# stores it; a test compares it with what the package onnx makes, which nodes don't have.
GRAPH = bytes.fromhex(
    "08043a560a180a01610a0162120163220d4d61744d756c496e74656765721201"
    "672a0d0802080110034201624a027f7f5a130a0161120e0a0c080212080a0208"
    "020a02080262130a0163120e0a0c080612080a0208020a02080142040a00100a"
)


@cache
def adds_exactly(runtime: Any) -> bool:
    """Tried with the largest values, once; `runtime` is the module `onnxruntime`."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(GRAPH, options, providers=[CPU_PROVIDER], enable_fallback=0)
    (sums,) = session.run(None, {"a": np.full((2, 2), 255, np.uint8)})
    return bool((sums == 2 * 255 * 127).all())
