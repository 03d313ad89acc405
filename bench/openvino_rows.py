"""Run by bench_quantization where OpenVINO is: `openvino_rows.py ROW.npy NAME=GRAPH...`.

Needs nothing but openvino and numpy. Prints JSON: CPU milliseconds of one item with one thread,
items a second with two streams of one thread, and the cosine to the first graph.
"""

import json
import statistics
import sys
import time

import numpy as np
import openvino as ov

ROUNDS, WARM, SECONDS = 12, 3, 4.0


def compile_graph(core, path, threads, streams):
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": streams,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    return core.compile_model(core.read_model(path), "CPU", options)


def count(model, row):
    queue = ov.AsyncInferQueue(model, 2)
    begun, done = time.perf_counter(), 0
    while time.perf_counter() < begun + SECONDS:
        queue.start_async({0: row})
        done += 1
    queue.wait_all()
    return done / (time.perf_counter() - begun)


def main():
    core = ov.Core()
    row = np.load(sys.argv[1])
    graphs = dict(argument.split("=", 1) for argument in sys.argv[2:])
    models = {name: compile_graph(core, path, 1, 1) for name, path in graphs.items()}
    times = {name: [] for name in models}
    for turn in range(WARM + ROUNDS):
        for name, model in models.items():
            begun = time.process_time()
            model(row)
            if turn >= WARM:
                times[name].append(1e3 * (time.process_time() - begun))
    rows = {name: model(row)[0][0] for name, model in models.items()}
    first = next(iter(rows.values()))
    found = {"openvino": ov.__version__}
    for name, path in graphs.items():
        vector = rows[name]
        cosine = vector @ first / np.linalg.norm(vector) / np.linalg.norm(first)
        found[name] = {
            "cpu_ms": statistics.median(times[name]),
            "per_second_2x1": count(compile_graph(core, path, 2, 2), row),
            "cosine": float(cosine),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
