"""INT8 on an x86 CPU without VNNI, emulated: what saturates there, and that rsq's vectors don't.

rsq-siglip-small in every recipe of INT8, embedded on this CPU and under QEMU 7.2, whose x86_64 has
AVX2 and neither AVX-512 nor VNNI. On Debian 12 `apt-get install qemu-user` brings it; without it,
or where this CPU saturates itself, nothing is measured. Beside it what the remedy costs, measured
here: CPU time of the kernels for uint8 weights with this CPU's instructions, and the memory of INT8
towers of SigLIP-base's size.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from base_towers import DATA, BaseTowers, cpu_name, export_base
from bench_quantization import measure_memory
from make_base_checkpoint import make_checkpoint
from numpy.typing import NDArray

from rsq.integer_products import adds_exactly
from rsq.manifest import TOWERS, Tower
from rsq.similarity import row_cosines
from rsq_server.build.calibration_rows import embed_tower
from rsq_server.build.external_data import GRAPH_NAME
from rsq_server.recipes import RECIPES

REPOSITORY = Path(__file__).resolve().parent.parent
EMULATORS = ("qemu-x86_64", "qemu-x86_64-static")
EMULATED_CPU = "max"  # all that QEMU knows
# The other calibrators' graphs are int8-static's with other numbers; int8-torch is no graph.
VARIANTS = [
    name
    for name, recipe in RECIPES.items()
    if recipe.activations not in ("float", "half", "torch") and recipe.calibrator == "minmax"
]
CALIBRATION_INPUTS = 32  # accuracy is measured elsewhere, by bench_recipes
INPUTS = 4
ROUNDS = 15
MEMORY_RECIPES = tuple(
    replace(RECIPES[name], variant=f"{name}-nearest", weights="nearest")
    for name in (
        "int8", "int8-static", "int8-conv", "int8-last", "int8-ffn", "int8-edges", "int8-wide",
    )
)  # fmt: skip
FLOOR = 0.9999  # cosine to this CPU's vectors


@dataclass(frozen=True)
class Row:
    """Least cosines of `INPUTS` vectors. `fp32` is from FP32's here to this variant's here, the
    others are from those to the emulated CPU's, as ONNX Runtime does by itself and as rsq opens it.
    `uint8_equal` says whether converted weights give the very same vectors here, `uint8_time` what
    they take here as a multiple of int8's CPU time."""

    tower: Tower
    variant: str
    fp32: float
    saturated: float
    remedied: float
    uint8_equal: bool
    uint8_time: float


def build(work: Path) -> BaseTowers:
    towers = export_base(DATA / "models" / "rsq-siglip-small", work)
    few = {
        tower: replace(
            rows, inputs=rows.inputs[:CALIBRATION_INPUTS], own=rows.own[:CALIBRATION_INPUTS]
        )
        for tower, rows in towers.rows.items()
    }
    towers = replace(towers, rows=few)
    towers.build(VARIANTS)
    return towers


def embed(
    command: Sequence[str], towers: BaseTowers, tower: Tower, settings: str, rounds: int
) -> dict[str, Any]:
    """What uint8_rows prints, run by `command`; its vectors are put below towers.work."""
    script = Path(__file__).with_name("uint8_rows.py")
    out = towers.work / f"vectors-{tower}"
    out.mkdir(exist_ok=True)
    graphs = [f"{name}={towers.folder(tower, name) / GRAPH_NAME}" for name in VARIANTS]
    arguments = [script, towers.work / f"{tower}.npy", out, rounds, settings, *graphs]
    done = subprocess.run(
        [*command, *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def measure_tower(emulator: str, towers: BaseTowers, tower: Tower) -> list[Row]:
    inputs = towers.test_inputs(tower, INPUTS)
    np.save(towers.work / f"{tower}.npy", inputs)
    exact = embed_tower(towers.folder(tower, "export"), tower, inputs)
    out = towers.work / f"vectors-{tower}"
    here = embed([sys.executable], towers, tower, "rsq,uint8", ROUNDS)
    vectors = {
        name: [np.load(out / f"{name}.{s}.npy") for s in ("rsq", "uint8")] for name in VARIANTS
    }
    emulated = [emulator, "-cpu", EMULATED_CPU, sys.executable]
    there = embed(emulated, towers, tower, "int8,rsq", 0)
    assert here["adds_exactly"], "this CPU's vectors are the wrong ones"
    assert not there["adds_exactly"], "the emulated CPU has VNNI"
    rows = []
    for name, (own, converted) in vectors.items():
        times = here["cpu_ms"][name]
        rows.append(
            Row(
                tower=tower,
                variant=name,
                fp32=_least(exact, own),
                saturated=_least(own, np.load(out / f"{name}.int8.npy")),
                remedied=_least(own, np.load(out / f"{name}.rsq.npy")),
                uint8_equal=bool(np.array_equal(own, converted)),
                uint8_time=times["uint8"] / times["rsq"],
            )
        )
    return rows


def _least(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    return float(row_cosines(left, right).min())


def measure_base_memory(work: Path) -> dict[Tower, dict[str, dict[str, Any]]]:
    """Rise of memory of SigLIP-base's towers at batch 1, with weights rounded to the nearest."""
    make_checkpoint(work / "checkpoint")
    towers = export_base(work / "checkpoint", work / "towers")
    found: dict[Tower, dict[str, dict[str, Any]]] = {}
    for tower in TOWERS:
        found[tower] = {}
        row = towers.test_inputs(tower, 1)
        for recipe in MEMORY_RECIPES:
            folder = towers.folder(tower, recipe.variant)
            towers.builder(tower).build(recipe, folder)
            found[tower][recipe.variant] = {
                "int8": measure_memory(folder, row),
                "uint8": measure_memory(folder, row, as_without_vnni=True),
                "files": sum(path.stat().st_size for path in folder.iterdir()),
            }
            _print_memory(tower, recipe.variant, found[tower][recipe.variant])
    return found


def _print_memory(tower: Tower, variant: str, found: dict[str, Any]) -> None:
    peaks = [found[kind]["peak"] for kind in ("int8", "uint8")]
    print(
        f"  {tower} of SigLIP-base, {variant}: peak {peaks[0] / 1e6:.0f} MB, converted "
        f"{peaks[1] / 1e6:.0f} MB, which is {(peaks[1] - peaks[0]) / found['files']:.2f} times its "
        "files more",
        flush=True,
    )


def run(emulator: str, work: Path) -> dict[str, Any]:
    towers = build(work / "small")
    rows = [row for tower in TOWERS for row in measure_tower(emulator, towers, tower)]
    print("least cosines; times and equality of converted weights on this CPU")
    for row in rows:
        print(
            f"  {row.tower:6s} {row.variant:15s} to FP32 {row.fp32:.6f}  without VNNI: left alone "
            f"{row.saturated:.6f}, by rsq {row.remedied:.6f}  uint8 here: "
            f"{'equal' if row.uint8_equal else 'DIFFERENT'}, x{row.uint8_time:.2f}",
            flush=True,
        )
    memory = measure_base_memory(work / "base")
    version = subprocess.run([emulator, "--version"], capture_output=True, text=True, check=True)
    return {
        "cpu": cpu_name(),
        "emulator": version.stdout.splitlines()[0],
        "emulated_cpu": EMULATED_CPU,
        "onnxruntime": ort.__version__,
        "inputs": INPUTS,
        "calibration_inputs": CALIBRATION_INPUTS,
        "rows": [asdict(row) for row in rows],
        "base_memory_bytes": memory,
        "holds": all(row.remedied > FLOOR and row.uint8_equal for row in rows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/without_vnni.json")
    parser.add_argument("--memory", action="store_true", help="only that; needs no emulator")
    options = parser.parse_args()
    if options.memory:
        with tempfile.TemporaryDirectory() as name:
            memory = measure_base_memory(Path(name))
        found = json.loads(options.out.read_text()) | {"base_memory_bytes": memory}
        options.out.write_text(json.dumps(found, indent=2) + "\n")
        return
    emulator = next(filter(None, map(shutil.which, EMULATORS)), None)
    if emulator is None or platform.machine() != "x86_64" or not adds_exactly(ort):
        print("Skipped: it needs QEMU (Debian: apt-get install qemu-user) on an x86_64 with VNNI.")
        return
    with tempfile.TemporaryDirectory() as name:
        found = run(emulator, Path(name))
    options.out.write_text(json.dumps(found, indent=2) + "\n")
    print(f"Wrote {options.out}.")
    if not found["holds"]:
        sys.exit("Without VNNI some vectors are not those of a CPU with it.")


if __name__ == "__main__":
    main()
