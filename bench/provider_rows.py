"""Run by bench_openvino in the environment of each runtime: `provider_rows.py` reads requests as
lines of JSON, answers each with a line, and keeps the sessions that it opened.

    {"open": NAME, "graph": PATH, "input": NAME, "provider": NAME, "threads": 1}  -> {"seconds"}
    {"run": NAME, "rows": PATH.npy}      -> {"cpu_ms"} of all rows in one batch
    {"embed": NAME, "rows": PATH.npy, "out": PATH.npy}                            -> {}
    {"memory": ""}                       -> {"peak", "steady"}: bytes over those at the start

Needs rsq-core with one flavour of ONNX Runtime.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

from rsq.memory_meter import ResidentMemory
from rsq.onnx_session import TowerSession

sessions: dict[str, TowerSession] = {}
memory = ResidentMemory()  # after the imports


def answer(request):
    if "open" in request:
        begun = time.perf_counter()
        sessions[request["open"]] = TowerSession(
            Path(request["graph"]),
            input_name=request["input"],
            provider=request["provider"],
            threads=request["threads"],
        )
        return {"seconds": time.perf_counter() - begun, "onnxruntime": ort.__version__}
    if "memory" in request:
        peak, steady = memory.read()
        return {"peak": peak, "steady": steady}
    rows = np.load(request["rows"])
    if "embed" in request:
        np.save(request["out"], sessions[request["embed"]].embed(rows))
        return {}
    session = sessions[request["run"]]
    begun = time.process_time()
    session.embed(rows)
    return {"cpu_ms": 1e3 * (time.process_time() - begun)}


def main():
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
