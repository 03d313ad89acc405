"""int8-static-s8 through ONNX Runtime's OpenVINO provider, against INT8 on the CPU provider.

`bench_openvino.py --openvino-python PYTHON`, the interpreter of an environment with
`./core[openvino]`: the provider comes with an ONNX Runtime of its own. Both run side by side
and take turns, each through `rsq.onnx_session`, which refuses a graph that falls back to the CPU.
Two models: rsq-siglip-small, and SigLIP-base's size with random weights, rounded to the nearest.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from base_towers import DATA, BaseTowers, cpu_name, export_base
from make_base_checkpoint import make_checkpoint
from numpy.typing import NDArray

from rsq.encoder import INPUT_NAMES
from rsq.manifest import TOWERS, Tower
from rsq.providers import CPU_PROVIDER, OPENVINO_PROVIDER
from rsq.similarity import row_cosines
from rsq_server.build.external_data import GRAPH_NAME
from rsq_server.recipes import RECIPES, Weights

REPOSITORY = Path(__file__).resolve().parent.parent
VARIANTS = ("int8", "int8-static", "int8-static-s8")
SERVED = "openvino int8-static-s8"
ITEMS = 64  # for accuracy
BATCHES = (1, 8)
THREADS = 1  # so that CPU time is the time it takes, whatever else runs
ROUNDS, WARM = 21, 3
# Name: the variant, the runtime's environment, the provider.
ENGINES = {
    "cpu fp32": ("export", "cpu", CPU_PROVIDER),
    "cpu int8": ("int8", "cpu", CPU_PROVIDER),
    "cpu int8-static": ("int8-static", "cpu", CPU_PROVIDER),
    "cpu int8-static-s8": ("int8-static-s8", "cpu", CPU_PROVIDER),
    "openvino's cpu int8": ("int8", "openvino", CPU_PROVIDER),
    SERVED: ("int8-static-s8", "openvino", OPENVINO_PROVIDER),
}


class Runtime:
    """`provider_rows.py` in the environment of the interpreter `python`."""

    def __init__(self, python: str, stack: ExitStack) -> None:
        self._process = stack.enter_context(
            subprocess.Popen(
                [python, str(Path(__file__).with_name("provider_rows.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def open(self, towers: BaseTowers, tower: Tower, name: str) -> dict[str, Any]:
        variant, _, provider = ENGINES[name]
        return self.ask(
            open=name,
            graph=str(towers.folder(tower, variant) / GRAPH_NAME),
            input=INPUT_NAMES[tower],
            provider=provider,
            threads=THREADS,
        )


def measure_tower(
    pythons: dict[str, str], towers: BaseTowers, tower: Tower, rounds: int
) -> dict[str, Any]:
    inputs = towers.test_inputs(tower, ITEMS)
    paths = {batch: towers.work / f"{tower}-{batch}.npy" for batch in (*BATCHES, ITEMS)}
    for batch, path in paths.items():
        np.save(path, inputs[:batch])
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        runtimes = {name: Runtime(python, stack) for name, python in pythons.items()}
        users = {name: runtimes[ENGINES[name][1]] for name in ENGINES}
        opened = {name: users[name].open(towers, tower, name) for name in ENGINES}
        for batch in BATCHES:
            found[f"batch {batch}"] = _take_turns(users, paths[batch], max(rounds // batch, WARM))
        found["cosines"] = _compare(users, towers.work / "rows.npy", paths[ITEMS])
        found["load_seconds"] = {name: one["seconds"] for name, one in opened.items()}
        found["onnxruntime"] = {name: one["onnxruntime"] for name, one in opened.items()}
    found["memory_bytes"] = {
        name: _measure_memory(pythons[ENGINES[name][1]], towers, tower, name, paths[max(BATCHES)])
        for name in ENGINES
    }
    return found


def _take_turns(users: dict[str, Runtime], rows: Path, rounds: int) -> dict[str, Any]:
    """CPU milliseconds of one batch, and how many times faster than int8 on the CPU provider that
    is: medians of all rounds, the latter of the ratios within each."""
    laps: dict[str, list[float]] = {name: [] for name in users}
    for turn in range(WARM + rounds):
        for name, runtime in users.items():
            lap = runtime.ask(run=name, rows=str(rows))
            if turn >= WARM:
                laps[name].append(lap["cpu_ms"])
    return {
        name: {
            "cpu_ms": statistics.median(taken),
            "times_int8": statistics.median(
                int8 / lap for int8, lap in zip(laps["cpu int8"], taken, strict=True)
            ),
        }
        for name, taken in laps.items()
    }


def _compare(users: dict[str, Runtime], out: Path, rows: Path) -> dict[str, Any]:
    def embed(name: str) -> NDArray[np.float32]:
        users[name].ask(embed=name, rows=str(rows), out=str(out))
        return np.asarray(np.load(out), np.float32)

    vectors = {name: embed(name) for name in users}
    pairs = [(name, "cpu fp32") for name in users if name != "cpu fp32"]
    pairs.append((SERVED, "cpu int8-static-s8"))
    found = {}
    for name, other in pairs:
        cosines = row_cosines(vectors[name], vectors[other])
        found[f"{name} to {other}"] = {"mean": float(cosines.mean()), "min": float(cosines.min())}
    return found


def _measure_memory(
    python: str, towers: BaseTowers, tower: Tower, name: str, rows: Path
) -> dict[str, Any]:
    with ExitStack() as stack:
        runtime = Runtime(python, stack)
        runtime.open(towers, tower, name)
        for _ in range(WARM):
            runtime.ask(run=name, rows=str(rows))
        return runtime.ask(memory="")


def run(
    pythons: dict[str, str], checkpoint: Path, work: Path, weights: Weights, rounds: int
) -> dict[str, Any]:
    towers = export_base(checkpoint, work)
    found = {}
    for tower in TOWERS:
        builder = towers.builder(tower)
        for variant in VARIANTS:
            recipe = dataclasses.replace(RECIPES[variant], weights=weights)
            builder.build(recipe, towers.folder(tower, variant))
        found[tower] = measure_tower(pythons, towers, tower, rounds)
        _print(work.name, tower, found[tower])
    return found


def _print(model: str, tower: Tower, found: dict[str, Any]) -> None:
    for title, rows in found.items():
        print(f"{model}, {tower}: {title}")
        for name, figures in rows.items():
            print(f"  {name:50s} {figures}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--openvino-python", help="interpreter with rsq-core[openvino]")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/openvino.json")
    options = parser.parse_args()
    if options.openvino_python is None:
        print("Not measured: name the --openvino-python of an environment with core[openvino].")
        return
    pythons = {"cpu": sys.executable, "openvino": options.openvino_python}
    result: dict[str, Any] = {"cpu": cpu_name(), "cores": os.cpu_count()}
    small = DATA / "models" / "rsq-siglip-small"
    with tempfile.TemporaryDirectory() as name:
        work, base = Path(name), Path(name) / "checkpoint"
        make_checkpoint(base)
        result["small"] = run(pythons, small, work / "small", "gptq", options.rounds)
        result["base"] = run(pythons, base, work / "base", "nearest", options.rounds)
    result["load_average_at_end"] = os.getloadavg()[0]
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"Wrote {options.out}.")


if __name__ == "__main__":
    main()
