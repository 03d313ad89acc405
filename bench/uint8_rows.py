"""Run by bench_without_vnni here and under an emulator: `uint8_rows.py ROWS.npy OUT ROUNDS SETTINGS
NAME=GRAPH...`.

Each graph embeds the rows once for each of the SETTINGS, a comma between them, into
OUT/NAME.SETTING.npy: `int8` leaves the weights as they are, `uint8` has ONNX Runtime convert them,
`rsq` opens them as rsq does. Prints JSON: whether this CPU adds products exactly, and the CPU
milliseconds of one row with one thread by graph and setting, medians of ROUNDS interleaved ones.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from rsq.integer_products import adds_exactly
from rsq.onnx_session import session_options
from rsq.similarity import normalise


def open_session(graph: str, setting: str) -> ort.InferenceSession:
    if setting == "rsq":
        options = session_options(1)
    else:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        precise = "1" if setting == "uint8" else "0"
        options.add_session_config_entry("session.x64quantprecision", precise)
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def time_one(
    sessions: dict[str, ort.InferenceSession], row: NDArray[Any], rounds: int
) -> dict[str, float]:
    times: dict[str, list[float]] = {setting: [] for setting in sessions}
    for _ in range(rounds):
        for setting, session in sessions.items():
            begun = time.process_time()
            session.run(None, {session.get_inputs()[0].name: row})
            times[setting].append(1e3 * (time.process_time() - begun))
    return {setting: statistics.median(found) for setting, found in times.items()}


def main() -> None:
    rows_path, out, rounds, settings, *named = sys.argv[1:]
    rows = np.load(rows_path)
    found: dict[str, Any] = {"adds_exactly": adds_exactly(ort), "cpu_ms": {}}
    for name, graph in (argument.split("=", 1) for argument in named):
        sessions = {setting: open_session(graph, setting) for setting in settings.split(",")}
        for setting, session in sessions.items():
            (vectors,) = session.run(None, {session.get_inputs()[0].name: rows})
            np.save(Path(out) / f"{name}.{setting}.npy", normalise(vectors))
        if int(rounds):
            found["cpu_ms"][name] = time_one(sessions, rows[:1], int(rounds))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
