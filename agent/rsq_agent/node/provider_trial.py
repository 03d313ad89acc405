"""Opens a session on one provider and computes something known: `python -m
rsq_agent.node.provider_trial PROVIDER`. Prints what is wrong and ends with 1, or prints nothing."""

from __future__ import annotations

import base64
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from rsq.errors import CpuFallback, InternalError, RsqError
from rsq.onnx_session import TowerSession

# pixel_values [n, 4] float32, times 2 * identity, is embedding. Its test makes it again with onnx.
GRAPH = base64.b64decode(
    "CAo6uQEKJAoMcGl4ZWxfdmFsdWVzCgF3EgllbWJlZGRpbmciBk1hdE11bBIFdHJpYWwqSwgECAQQAUIBd0pAAAAA"
    "QAAAAAAAAAAAAAAAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAAAAAAAQFofCgxw"
    "aXhlbF92YWx1ZXMSDwoNCAESCQoDEgFuCgIIBGIcCgllbWJlZGRpbmcSDwoNCAESCQoDEgFuCgIIBEIECgAQFA=="
)
TOLERANCE = 1e-2  # of cosines: a provider may compute in half precision


def try_provider(provider: str) -> None:
    """Raises CpuFallback, EnvironmentFault or InternalError."""
    with tempfile.TemporaryDirectory(prefix="rsq-trial-") as folder:
        graph = Path(folder) / "trial.onnx"
        graph.write_bytes(GRAPH)
        session = TowerSession(graph, input_name="pixel_values", provider=provider, threads=1)
        rows = session.embed(np.eye(4, dtype=np.float32))
    if not np.allclose(rows, np.eye(4), atol=TOLERANCE):
        raise InternalError("It computes wrong results.")


def main() -> None:
    code = 0
    try:
        try_provider(sys.argv[1])
    except CpuFallback:
        print("ONNX Runtime can't start it: a library or the driver is missing.", flush=True)
        code = 1
    except RsqError as e:
        print(e.message, flush=True)
        code = 1
    # Skips teardown, in which some runtimes crash.
    os._exit(code)


if __name__ == "__main__":
    main()
