"""The fresh process that `rsq.profiling` starts: it loads one artifact, runs it, and prints what it
measured as JSON. An error is printed too, with its code."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsq.encoder import Encoder, import_runtime
from rsq.errors import RsqError
from rsq.manifest import Manifest, decode_manifest
from rsq.mapped_files import unread_bytes
from rsq.memory_meter import TowerMemory
from rsq.probe import decode_probe, judge, replay
from rsq.profiling import Job, Measurement
from rsq.provider_options import DeviceRules
from rsq.providers import GPU_PROVIDERS

MIN_RUNS = 5  # also where the time is over
MAX_RUNS = 50
# Before what is timed, as shares of the batch. Callers' batches have many sizes, and room that the
# allocator keeps from one does not always hold the next: with other sizes in between SigLIP-base's
# peak rose by 1.2 % at a batch of 16 in INT8, and by 1.4 % at one of 32 in FP32.
WARM_UP_SHARES = (1.0, 0.0, 0.5)
SEED = 0


def run(job: Job) -> Measurement:
    """Raises what opening and probing the artifact raise."""
    folder = Path(job.folder)
    manifest = decode_manifest(Path(job.manifest).read_bytes())
    probe = decode_probe((folder / manifest.file("probe").name).read_bytes())
    import_runtime(manifest.format)  # memory is counted from after the imports
    inputs = _inputs(manifest, job.batch)
    rules = DeviceRules(
        job.memory_bytes, Path(job.cache_folder) if job.cache_folder else None, job.allow_cpu
    )
    with TowerMemory(job.provider) as memory:
        started = time.perf_counter()
        encoder = Encoder(folder, manifest, provider=job.provider, threads=job.threads, rules=rules)
        load_ms = (time.perf_counter() - started) * 1000
        for share in WARM_UP_SHARES:
            encoder.embed_prepared(inputs[: max(1, round(job.batch * share))])
        fewest, most = (1, 1) if job.quick else (MIN_RUNS, MAX_RUNS)
        laps: list[float] = []
        while len(laps) < fewest or (sum(laps) < job.seconds and len(laps) < most):
            started = time.perf_counter()
            encoder.embed_prepared(inputs)
            laps.append(time.perf_counter() - started)
        meter = memory.of(encoder.provider)
        peak_bytes, steady_bytes = meter.read()
    if encoder.provider not in GPU_PROVIDERS:
        # These runs read one row of the embedding table; callers read all of it in time.
        steady_bytes += unread_bytes(folder)
        peak_bytes = max(peak_bytes, steady_bytes)
    result = replay(encoder, probe)  # after the memory is read: it uses batches of its own
    judge(result, manifest.probe)
    return Measurement(
        p50_ms=float(np.percentile(laps, 50)) * 1000,
        p95_ms=float(np.percentile(laps, 95)) * 1000,
        per_second=job.batch * len(laps) / sum(laps),
        load_ms=load_ms,
        peak_bytes=peak_bytes,
        steady_bytes=steady_bytes,
        baseline_bytes=meter.baseline_bytes,
        probe_own_cosine_min=result.own_cosine_min,
        probe_fp32_cosine_min=result.fp32_cosine_min,
        provider=encoder.provider,
        notice=encoder.notice,
    )


def _inputs(manifest: Manifest, batch: int) -> NDArray[np.float32] | NDArray[np.int64]:
    if manifest.image is not None:
        shape = (batch, 3, manifest.image.height, manifest.image.width)
        return np.random.default_rng(SEED).standard_normal(shape, np.float32)
    assert manifest.text is not None
    # An id that every vocabulary has; the tower's work does not depend on which it is.
    return np.full((batch, manifest.text.max_length), manifest.text.eos_id, np.int64)


def main() -> None:
    job = Job(**json.loads(sys.argv[1]))
    try:
        answer = asdict(run(job))
    except RsqError as e:
        answer = {"error": e.message, "code": e.code}
    print(json.dumps(answer), flush=True)
    # Skips teardown: some runtimes crash in it, and nothing here is left to write.
    os._exit(0)


if __name__ == "__main__":
    main()
