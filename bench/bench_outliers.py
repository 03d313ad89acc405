"""What each step of `int8` is worth where a model has outliers: cosine to FP32 at SigLIP-base's
size with loud norm gains and heavy residual channels (make_base_checkpoint --outliers).

Inputs are AID's test captions and images, calibration is AID's calibration split. The weights are
random, so two inputs' vectors lie closer than a trained model's; how close is printed too.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from base_towers import BaseTowers, cpu_name, export_base
from make_base_checkpoint import make_checkpoint
from numpy.typing import NDArray

from rsq.errors import GateRefused
from rsq.manifest import TOWERS, Tower
from rsq.similarity import row_cosines
from rsq_server.build.calibration_rows import embed_tower
from rsq_server.build.workers import available_workers
from rsq_server.recipes import RECIPES, Recipe

REPOSITORY = Path(__file__).resolve().parent.parent
INPUTS, QUICK_INPUTS = 256, 16
# Three, because towers of two count as small, which get eight times the calibration images.
LAYERS, QUICK_LAYERS = 12, 3
TARGET = 0.999  # mean cosine of the text tower, by int8 or int8-mixed

_INT8 = RECIPES["int8"]
STEPS: dict[str, Recipe] = {
    "int8-nearest": RECIPES["int8-nearest"],
    "SmoothQuant only": replace(_INT8, variant="smoothing-only", weights="nearest"),
    "GPTQ only": replace(_INT8, variant="gptq-only", smoothing=None),
    "int8": _INT8,
    "int8-wide": RECIPES["int8-wide"],
    "int8-mixed": RECIPES["int8-mixed"],
}


def measure_tower(
    towers: BaseTowers, tower: Tower, inputs: NDArray[Any], names: Sequence[str]
) -> dict[str, Any]:
    """Of each of the steps `names`: cosines to FP32 on `inputs`, and size."""
    builder = towers.builder(tower)
    expected = embed_tower(towers.folder(tower, "export"), tower, inputs)
    found: dict[str, Any] = {"alike": _mean_between(expected), "steps": {}}
    for name in names:
        folder = towers.folder(tower, STEPS[name].variant)
        try:
            built = builder.build(STEPS[name], folder)
        except GateRefused as e:
            found["steps"][name] = {"refused": e.message}
            print(f"  {tower:6s} {name:18s} refused: {e.message}", flush=True)
            continue
        cosines = row_cosines(expected, embed_tower(folder, tower, inputs))
        row = {
            "cosine_mean": float(cosines.mean(dtype=np.float64)),
            "cosine_min": float(cosines.min()),
            "size_bytes": sum(file.stat().st_size for file in folder.iterdir()),
            "raised": built.spec.parameters.get("raised", {}),
        }
        shutil.rmtree(folder)
        found["steps"][name] = row
        raised = f", {len(row['raised'])} units raised" if row["raised"] else ""
        print(
            f"  {tower:6s} {name:18s} cosine mean {row['cosine_mean']:.5f} "
            f"min {row['cosine_min']:.5f}, {row['size_bytes'] / 1e6:.1f} MB{raised}",
            flush=True,
        )
    return found


def _mean_between(vectors: NDArray[np.float32]) -> float:
    """The mean cosine between the vectors [n, dim] of different inputs."""
    total = float(np.square(vectors.sum(axis=0, dtype=np.float64)).sum())
    count = len(vectors)
    return (total - count) / (count * (count - 1))


def run(
    work: Path, chosen: Sequence[Tower], inputs: int, names: Sequence[str], layers: int
) -> dict[str, Any]:
    make_checkpoint(work / "checkpoint", outliers=True, layers=layers)
    towers = export_base(work / "checkpoint", work / "work")
    result: dict[str, Any] = {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": f"{available_workers()} workers of 1",
        "inputs": inputs,
        "layers": layers,
        "target": TARGET,
    }
    for tower in chosen:
        print(f"{tower}:", flush=True)
        result[tower] = measure_tower(towers, tower, towers.test_inputs(tower, inputs), names)
        print(f"  {tower:6s} different inputs in FP32: cosine {result[tower]['alike']:.3f}")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--towers", default=",".join(reversed(TOWERS)))
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument(
        "--quick", action="store_true", help="three blocks of text and few inputs; writes nothing"
    )
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/outliers.json")
    options = parser.parse_args()
    towers = [tower for tower in reversed(TOWERS) if tower in options.towers.split(",")]
    names = [name for name in STEPS if name in options.steps.split(",")]
    inputs, layers = INPUTS, LAYERS
    if options.quick:
        towers, inputs, layers = ["text"], QUICK_INPUTS, QUICK_LAYERS
    with tempfile.TemporaryDirectory() as work:
        found = run(Path(work), towers, inputs, names, layers)
    if options.quick:
        return
    if "text" in found:
        steps = found["text"]["steps"]
        reached = max(
            (
                steps[name].get("cosine_mean", 0.0)
                for name in ("int8", "int8-mixed")
                if name in steps
            ),
            default=0.0,
        )
        print(f"text: best of int8 and int8-mixed {reached:.5f}, target {TARGET}")
    options.out.write_text(json.dumps(found, indent=2) + "\n")
    print(f"Wrote {options.out}.")


if __name__ == "__main__":
    main()
