"""Several towers in one fresh process at once, as an agent holds them, and how much memory they
took at most: `peak_together.py JOB`, a JSON object. Prints JSON.

Each tower has a thread of its own, which runs batches of many sizes up to the largest, as callers
make them, over token ids from the whole vocabulary.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.encoder import Encoder, import_runtime
from rsq.manifest import Manifest, decode_manifest
from rsq.memory_meter import ResidentMemory

TEXTS = 96  # at least: after so many random rows most pages of an embedding table were read
SHARES = (0.0, 1.0, 0.5, 1.0)  # of the largest batch, one run each; the first is of one item


def make_inputs(manifest: Manifest, batch: int, words: int) -> list[NDArray[Any]]:
    """What the tower runs, one array a run. `words` is the size of the vocabulary, which is not
    found out here: a tokenizer opened before the measurement would leave its memory behind."""
    noise = np.random.default_rng(0)
    sizes = [max(1, round(batch * share)) for share in SHARES]
    if manifest.image is not None:
        shape = (batch, 3, manifest.image.height, manifest.image.width)
        pixels = noise.standard_normal(shape, np.float32)
        return [pixels[:size] for size in sizes]
    assert manifest.text is not None
    sizes += [batch] * -(-(TEXTS - sum(sizes)) // batch)
    length = manifest.text.max_length
    return [noise.integers(0, words, (size, length), np.int64) for size in sizes]


def main() -> None:
    job = json.loads(sys.argv[1])
    towers = []
    for one in job["towers"]:
        folder, manifest = Path(one["folder"]), decode_manifest(Path(one["manifest"]).read_bytes())
        import_runtime(manifest.format)
        towers.append((folder, manifest))
    inputs = [make_inputs(manifest, job["batch"], job["words"]) for _, manifest in towers]

    def run(encoder: Encoder, batches: list[NDArray[Any]]) -> None:
        for rows in batches:
            encoder.embed_prepared(rows)

    memory = ResidentMemory()
    with ThreadPoolExecutor(len(towers)) as pool:
        encoders = [
            Encoder(folder, manifest, threads=job["threads"]) for folder, manifest in towers
        ]
        for done in [pool.submit(run, *pair) for pair in zip(encoders, inputs, strict=True)]:
            done.result()
    peak_bytes, steady_bytes = memory.read()
    print(json.dumps({"peak_bytes": peak_bytes, "steady_bytes": steady_bytes}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
