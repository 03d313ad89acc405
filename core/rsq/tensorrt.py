"""Whether TensorRT is on this node: ONNX Runtime's CUDA builds list it whether it is or not."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from pathlib import Path

from rsq.onnx_session import import_onnxruntime

LIBRARY = "libonnxruntime_providers_tensorrt.so"
_NEEDED = re.compile(rb"libnvinfer\.so\.\d+")


def has_tensorrt(folder: Path | None = None, load: Callable[[str], object] = ctypes.CDLL) -> bool:
    """Whether the TensorRT that the installed ONNX Runtime was built for can be loaded. `folder`
    holds ONNX Runtime's libraries.

    ONNX Runtime's own library must not be loaded for that: out of turn it starts wrongly. So its
    bytes are searched for what it needs.
    """
    folder = folder or Path(import_onnxruntime().__file__).parent / "capi"
    try:
        needed = _NEEDED.search((folder / LIBRARY).read_bytes())
    except OSError:
        return False
    if needed is None:
        return False
    try:
        load(needed[0].decode())
    except OSError:
        return False
    return True
