"""What INT8 is worth on a CPU at SigLIP-base's size: time, throughput, size, memory, operators.

All engines run interleaved in one process, except OpenVINO, whose package brings an ONNX Runtime of
its own: `--openvino-python` names the interpreter of an environment with `openvino` installed, and
its rows carry their own FP32 ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from base_towers import BaseTowers, cpu_name, export_base
from make_base_checkpoint import make_checkpoint
from numpy.typing import NDArray

from rsq.encoder import INPUT_NAMES
from rsq.manifest import TOWERS, Tower
from rsq.onnx_session import session_options
from rsq.similarity import normalise, row_cosines
from rsq_server.build.external_data import GRAPH_NAME
from rsq_server.build.load import load_encoder

REPOSITORY = Path(__file__).resolve().parent.parent
VARIANTS = ["int8", "int8-static", "int8-conv"]
ROUNDS = 15
WARM = 3
# (workers, threads of each) with two cores.
SPLITS = ((1, 2), (2, 1))
WINDOW_SECONDS = 2.5
ACCURACY_INPUTS = 16

Run = Callable[[NDArray[Any]], Any]


def open_session(folder: Path, threads: int, *, profile: Path | None = None) -> Any:
    options = session_options(threads)
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return ort.InferenceSession(
        str(folder / GRAPH_NAME), options, providers=["CPUExecutionProvider"]
    )


def ort_run(folder: Path, tower: Tower, threads: int) -> Run:
    session = open_session(folder, threads)
    return lambda rows: session.run(None, {INPUT_NAMES[tower]: rows})[0]


def torch_run(module: torch.nn.Module, threads: int) -> Run:
    def run(rows: NDArray[Any]) -> Any:
        # PyTorch keeps the count for each calling thread.
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return module(torch.from_numpy(rows)).numpy()

    return run


def time_alone(runs: dict[str, Run], row: NDArray[Any], *, rounds: int = ROUNDS) -> dict[str, Any]:
    """CPU and wall milliseconds of one item, interleaved; medians and quartiles."""
    cpu: dict[str, list[float]] = {name: [] for name in runs}
    wall: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(WARM + rounds):
        for name, run in runs.items():
            begun_cpu, begun = time.process_time(), time.perf_counter()
            run(row)
            if turn >= WARM:
                cpu[name].append(1e3 * (time.process_time() - begun_cpu))
                wall[name].append(1e3 * (time.perf_counter() - begun))
    found = {}
    for name in runs:
        low, middle, high = statistics.quantiles(cpu[name], n=4)
        found[name] = {
            "cpu_ms": middle,
            "cpu_ms_quartiles": [low, high],
            "wall_ms": statistics.median(wall[name]),
            "ratio": statistics.median(cpu["fp32"]) / middle,
        }
    return found


def measure_throughput(
    make: Mapping[str, Callable[[int], Run]], row: NDArray[Any], rounds: int
) -> dict[str, Any]:
    """Items a second at each split of workers and threads, engines and splits interleaved."""
    found: dict[str, dict[str, list[float]]] = {}
    for workers, threads in SPLITS:
        pools = {name: [opener(threads) for _ in range(workers)] for name, opener in make.items()}
        for _ in range(rounds):
            for name, runs in pools.items():
                per_second = _count_for(runs, row, WINDOW_SECONDS)
                found.setdefault(name, {}).setdefault(f"{workers}x{threads}", []).append(per_second)
        del pools
    best = {
        name: max(statistics.median(values) for values in splits.values())
        for name, splits in found.items()
    }
    return {
        name: {
            "per_second": {split: statistics.median(v) for split, v in splits.items()},
            "spread": {split: [min(v), max(v)] for split, v in splits.items()},
            "best": best[name],
            "ratio": best[name] / best["fp32"],
        }
        for name, splits in found.items()
    }


def _count_for(runs: list[Run], row: NDArray[Any], seconds: float) -> float:
    def work(run: Run) -> float:
        run(row)
        count, begun = 0, time.perf_counter()
        while time.perf_counter() < begun + seconds:
            run(row)
            count += 1
        # The last item ends after the window: by the time that passed, not by the window's length.
        return count / (time.perf_counter() - begun)

    with ThreadPoolExecutor(len(runs)) as pool:
        return sum(pool.map(work, runs))


def profile_operators(folder: Path, tower: Tower, row: NDArray[Any]) -> dict[str, float]:
    """Milliseconds of each operator in one inference with one thread, the largest first."""
    with tempfile.TemporaryDirectory() as work:
        session = open_session(folder, 1, profile=Path(work) / "operators")
        for _ in range(WARM + ROUNDS):
            session.run(None, {INPUT_NAMES[tower]: row})
        events = json.loads(Path(session.end_profiling()).read_text())
    times: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times[event["args"]["op_name"]] += event["dur"]
    return {name: us / 1e3 / (WARM + ROUNDS) for name, us in times.most_common(12)}


def measure_memory(
    folder: Path, row: NDArray[Any], *, as_without_vnni: bool = False
) -> dict[str, int]:
    """Rise of peak and resident memory over a process after its imports, at batch 1;
    `as_without_vnni` has ONNX Runtime make int8 weights uint8, as it must there."""
    # A child starts with its parent's peak; writing 5 to clear_refs sets it back.
    script = (
        "import gc, json, re, sys, numpy, onnxruntime\n"
        "from rsq.onnx_session import session_options\n"
        "def read(name):\n"
        "    text = open('/proc/self/status').read()\n"
        "    return 1024 * int(re.search(name + r':\\s+(\\d+)', text)[1])\n"
        "row = numpy.load(sys.argv[2]); options = session_options(2); gc.collect()\n"
        "if sys.argv[3:]: options.add_session_config_entry(sys.argv[3], '1')\n"
        "open('/proc/self/clear_refs', 'w').write('5'); before = read('VmRSS')\n"
        "session = onnxruntime.InferenceSession(sys.argv[1], options,"
        " providers=['CPUExecutionProvider'])\n"
        "for _ in range(3): session.run(None, {session.get_inputs()[0].name: row})\n"
        "print(json.dumps({'peak': read('VmHWM') - before, 'steady': read('VmRSS') - before}))\n"
    )
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "row.npy"
        np.save(path, row)
        entries = ["session.x64quantprecision"] if as_without_vnni else []
        command = [sys.executable, "-c", script, str(folder / GRAPH_NAME), str(path), *entries]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def measure_openvino(
    python: str | None, towers: BaseTowers, tower: Tower, row: NDArray[Any]
) -> Any:
    if python is None:
        return "not measured: pip install openvino elsewhere and name its --openvino-python"
    script = Path(__file__).with_name("openvino_rows.py")
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "row.npy"
        np.save(path, row)
        graphs = {
            "openvino fp32": towers.folder(tower, "export"),
            "openvino int8 (int8-static-s8)": towers.folder(tower, "int8-static-s8"),
        }
        arguments = [f"{name}={folder / GRAPH_NAME}" for name, folder in graphs.items()]
        done = subprocess.run(
            [python, str(script), str(path), *arguments], capture_output=True, text=True, check=True
        )
    return json.loads(done.stdout)


def run(checkpoint: Path, work: Path, openvino: str | None, rounds: int) -> dict[str, Any]:
    towers = export_base(checkpoint, work)
    towers.build([*VARIANTS, *(["int8-static-s8"] if openvino else [])])
    encoder = load_encoder(checkpoint, work_folder=work)
    result: dict[str, Any] = {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "onnxruntime": ort.__version__,
        "torch": torch.__version__,
    }
    for tower in TOWERS:
        folders = {"fp32": towers.folder(tower, "export")}
        folders |= {variant: towers.folder(tower, variant) for variant in VARIANTS}
        inputs = towers.test_inputs(tower, ACCURACY_INPUTS)
        row = inputs[:1]
        expected = normalise(ort_run(folders["fp32"], tower, 2)(inputs))
        accuracy = {}
        for name, folder in folders.items():
            run_one = ort_run(folder, tower, 2)
            alone = normalise(
                np.concatenate([run_one(inputs[i : i + 1]) for i in range(len(inputs))])
            )
            cosines = row_cosines(expected, alone)
            accuracy[name] = {
                "cosine_mean": float(cosines.mean()),
                "cosine_min": float(cosines.min()),
                "alone_against_batch_min": float(
                    row_cosines(alone, normalise(run_one(inputs))).min()
                ),
            }
        runs = {name: ort_run(folder, tower, 1) for name, folder in folders.items()}
        eager = partial(torch_run, encoder.tower(tower))
        runs["torch eager fp32"] = eager(1)
        alone_times = time_alone(runs, row)
        del runs
        openers: dict[str, Callable[[int], Run]] = {
            name: partial(ort_run, folder, tower) for name, folder in folders.items()
        }
        openers["torch eager fp32"] = eager
        throughput = measure_throughput(openers, row, rounds)
        sizes = {
            name: sum(f.stat().st_size for f in folder.iterdir())
            for name, folder in folders.items()
        }
        memory = {name: measure_memory(folder, row) for name, folder in folders.items()}
        result[tower] = {
            "one_thread": alone_times,
            "throughput_two_cores": throughput,
            "operators_ms": {n: profile_operators(f, tower, row) for n, f in folders.items()},
            "size_bytes": sizes,
            "size_ratio": {name: size / sizes["fp32"] for name, size in sizes.items()},
            "memory_bytes": memory,
            "peak_ratio": {
                n: found["peak"] / memory["fp32"]["peak"] for n, found in memory.items()
            },
            "accuracy": accuracy,
            "openvino": measure_openvino(openvino, towers, tower, row),
        }
        _print_tower(tower, result[tower])
    result["load_average_at_end"] = os.getloadavg()[0]
    return result


def update_memory(folder: Path, out: Path) -> None:
    """Measures memory again and puts it into the results of an earlier run."""
    found = json.loads(out.read_text())
    towers = export_base(folder / "checkpoint", folder / "work")
    towers.build(VARIANTS)
    for tower in TOWERS:
        row = towers.test_inputs(tower, 1)
        memory = {
            name: measure_memory(towers.folder(tower, name), row) for name in ("export", *VARIANTS)
        }
        memory = {"fp32": memory.pop("export"), **memory}
        peaks = {name: one["peak"] / memory["fp32"]["peak"] for name, one in memory.items()}
        found[tower] |= {"memory_bytes": memory, "peak_ratio": peaks}
        print(tower, {name: f"{ratio:.1%}" for name, ratio in peaks.items()})
    out.write_text(json.dumps(found, indent=2) + "\n")


def _print_tower(tower: str, found: dict[str, Any]) -> None:
    print(f"{tower}: batch 1; CPU ms with 1 thread; items/s at the best split of 2 cores")
    for name, times in found["one_thread"].items():
        rate = found["throughput_two_cores"].get(name)
        line = f"  {name:18s} {times['cpu_ms']:7.1f} ms  x{times['ratio']:.2f}"
        if rate:
            line += f"  {rate['best']:6.1f}/s x{rate['ratio']:.2f}"
        if name in found["size_ratio"]:
            line += f"  size {found['size_ratio'][name]:.1%}  peak {found['peak_ratio'][name]:.1%}"
            line += f"  cosine {found['accuracy'][name]['cosine_mean']:.6f}"
            line += f"  alone/batch {found['accuracy'][name]['alone_against_batch_min']:.7f}"
        print(line)
    print(f"  openvino: {found['openvino']}")
    for name, times in found["operators_ms"].items():
        listed = ", ".join(f"{operator} {ms:.1f}" for operator, ms in list(times.items())[:8])
        print(f"  {name}: {listed}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--openvino-python", help="interpreter with the package openvino")
    parser.add_argument("--rounds", type=int, default=5, help="of each throughput measurement")
    parser.add_argument("--memory", action="store_true", help="measure memory alone, into OUT")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/quantization.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        make_checkpoint(Path(name) / "checkpoint")
        if options.memory:
            update_memory(Path(name), options.out)
            return
        found = run(
            Path(name) / "checkpoint",
            Path(name) / "work",
            options.openvino_python,
            options.rounds,
        )
    options.out.write_text(json.dumps(found, indent=2) + "\n")
    print(f"Wrote {options.out}.")


if __name__ == "__main__":
    main()
