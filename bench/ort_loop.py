"""A bare ONNX Runtime loop over one graph, as fast as it goes: the yardstick of bench_serving.

Usage: python ort_loop.py GRAPH ROWS.npy WORKERS THREADS. Each line "SECONDS" on stdin runs the loop
for that long and prints items a second.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime as ort

from rsq.onnx_session import session_options


def main() -> None:
    graph, rows_path, workers, threads = sys.argv[1:]
    rows = np.load(rows_path)
    sessions = []
    for _ in range(int(workers)):
        options = session_options(int(threads))
        sessions.append(ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"]))
    name = sessions[0].get_inputs()[0].name

    def work(session: ort.InferenceSession, seconds: float) -> float:
        count, begun = 0, time.perf_counter()
        while time.perf_counter() < begun + seconds:
            index = count % len(rows)
            session.run(None, {name: rows[index : index + 1]})
            count += 1
        return count / (time.perf_counter() - begun)

    with ThreadPoolExecutor(len(sessions)) as pool:
        list(pool.map(work, sessions, [0.2] * len(sessions)))
        print("ready", flush=True)
        for line in sys.stdin:
            found = sum(pool.map(work, sessions, [float(line)] * len(sessions)))
            print(found, flush=True)


if __name__ == "__main__":
    main()
