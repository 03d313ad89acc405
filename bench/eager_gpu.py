"""Run by bench_gpu: `eager_gpu.py CHECKPOINT TOWER PRECISION BATCH DEVICE`. Prints as JSON how fast
PyTorch runs the tower eagerly, and the memory that this process took for it."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from rsq.manifest import Tower
from rsq.memory_meter import TowerMemory
from rsq.providers import TORCH_CPU, TORCH_CUDA
from rsq_server.build.load import load_encoder

WARM, RUNS = 3, 20


def measure(checkpoint: Path, tower: Tower, precision: str, batch: int, device: str) -> Any:
    """Milliseconds with the copies to and from the device, as a caller waits for them; bytes."""
    with tempfile.TemporaryDirectory() as work:
        encoder = load_encoder(checkpoint, work_folder=Path(work))
    rows = torch.from_numpy(encoder.sample_inputs(tower, batch))
    kind = getattr(torch, precision)
    if tower == "vision":
        rows = rows.to(kind)
    provider = TORCH_CPU if device == "cpu" else TORCH_CUDA
    laps: list[float] = []
    with TowerMemory(provider) as memory, torch.inference_mode():
        module = encoder.tower(tower).to(device, kind)
        for turn in range(WARM + RUNS):
            begun = time.perf_counter()
            module(rows.to(device)).float().cpu()
            if turn >= WARM:
                laps.append(time.perf_counter() - begun)
        peak_bytes, steady_bytes = memory.of(provider).read()
    return {
        "provider": provider,
        "p50_ms": 1e3 * statistics.median(laps),
        "per_second": batch * RUNS / sum(laps),
        "peak_bytes": peak_bytes,
        "steady_bytes": steady_bytes,
    }


def main() -> None:
    checkpoint, tower, precision, batch, device = sys.argv[1:]
    print(json.dumps(measure(Path(checkpoint), tower, precision, int(batch), device)))


if __name__ == "__main__":
    main()
