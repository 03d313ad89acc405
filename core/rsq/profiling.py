"""Latency, throughput, memory and load time of one artifact at one batch, in a fresh process.

`profile` starts `python -m rsq.profiling` once a batch, so that one measurement never shows in the
next. The publisher and the node measure with this same code.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsq.encoder import Encoder, import_runtime
from rsq.errors import EnvironmentFault, ProbeFailed, RsqError
from rsq.manifest import Manifest, decode_manifest
from rsq.probe import decode_probe, judge, replay
from rsq.records import Profile

MIN_RUNS = 5
MAX_RUNS = 50
WARM_UP_RUNS = 2
RUN_SECONDS = 3.0  # per batch; stops early once MIN_RUNS are done
TIMEOUT_SECONDS = 300.0
SEED = 0


@dataclass(frozen=True)
class Job:
    """What the fresh process is asked to measure."""

    folder: str
    manifest: str  # path of the manifest
    batch: int
    provider: str
    threads: int
    seconds: float


@dataclass(frozen=True)
class Measurement:
    """What it answers. The probe's worst cosines prove that it computed the right thing."""

    p50_ms: float
    p95_ms: float
    per_second: float
    load_ms: float
    peak_bytes: int
    steady_bytes: int
    baseline_bytes: int
    probe_own_cosine_min: float
    probe_fp32_cosine_min: float


def measure(
    folder: Path,
    manifest_path: Path,
    *,
    batch: int,
    provider: str,
    threads: int,
    seconds: float = RUN_SECONDS,
) -> Measurement:
    """Measures the artifact whose files lie in `folder`, and replays its golden probe.

    Raises ProbeFailed when the probe fails there, EnvironmentFault when the process dies, hangs or
    can't load the artifact.
    """
    job = Job(str(folder), str(manifest_path), batch, provider, threads, seconds)
    command = [sys.executable, "-m", "rsq.profiling", json.dumps(asdict(job))]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=TIMEOUT_SECONDS, check=False, text=True
        )
    except subprocess.TimeoutExpired as e:
        raise EnvironmentFault(
            f"The artifact did not finish batch {batch} within {TIMEOUT_SECONDS:.0f} s here."
        ) from e
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError) as e:
        raise EnvironmentFault(
            f"The process that measured batch {batch} died (exit status {done.returncode}); "
            "is there enough memory?"
        ) from e
    if "error" in answer:
        kind = ProbeFailed if answer["code"] == ProbeFailed.code else EnvironmentFault
        raise kind(answer["error"])
    return Measurement(**answer)


def to_profile(
    measurement: Measurement,
    *,
    artifact_id: str,
    device: str,
    provider: str,
    batch: int,
    threads: int,
    source: str,
) -> Profile:
    return Profile(
        artifact_id=artifact_id,
        device=device,
        provider=provider,
        batch=batch,
        workers=1,
        threads=threads,
        p50_ms=measurement.p50_ms,
        p95_ms=measurement.p95_ms,
        per_second=measurement.per_second,
        load_ms=measurement.load_ms,
        peak_bytes=measurement.peak_bytes,
        steady_bytes=measurement.steady_bytes,
        baseline_bytes=measurement.baseline_bytes,
        source=source,
    )


def _run(job: Job) -> Measurement:
    folder = Path(job.folder)
    manifest = decode_manifest(Path(job.manifest).read_bytes())
    probe = decode_probe((folder / manifest.file("probe").name).read_bytes())
    import_runtime(manifest.format)  # memory is counted from after the imports
    inputs = _inputs(manifest, job.batch)
    baseline_bytes = _reset_peak()
    started = time.perf_counter()
    encoder = Encoder(folder, manifest, provider=job.provider, threads=job.threads)
    load_ms = (time.perf_counter() - started) * 1000
    for _ in range(WARM_UP_RUNS):
        encoder.embed_prepared(inputs)
    laps: list[float] = []
    while len(laps) < MIN_RUNS or (sum(laps) < job.seconds and len(laps) < MAX_RUNS):
        started = time.perf_counter()
        encoder.embed_prepared(inputs)
        laps.append(time.perf_counter() - started)
    steady_bytes = _resident_bytes()
    # The kernel keeps the two counters apart and may show the peak a page behind.
    peak_bytes = max(_peak_bytes(), steady_bytes)
    result = replay(encoder, probe)  # after the memory is read: it uses batches of its own
    judge(result, manifest.probe)
    return Measurement(
        p50_ms=float(np.percentile(laps, 50)) * 1000,
        p95_ms=float(np.percentile(laps, 95)) * 1000,
        per_second=job.batch * len(laps) / sum(laps),
        load_ms=load_ms,
        peak_bytes=max(peak_bytes - baseline_bytes, 0),
        steady_bytes=max(steady_bytes - baseline_bytes, 0),
        baseline_bytes=baseline_bytes,
        probe_own_cosine_min=result.own_cosine_min,
        probe_fp32_cosine_min=result.fp32_cosine_min,
    )


def _inputs(manifest: Manifest, batch: int) -> NDArray[np.float32] | NDArray[np.int64]:
    if manifest.image is not None:
        shape = (batch, 3, manifest.image.height, manifest.image.width)
        return np.random.default_rng(SEED).standard_normal(shape, np.float32)
    assert manifest.text is not None
    # An id that every vocabulary has; the tower's work does not depend on which it is.
    return np.full((batch, manifest.text.max_length), manifest.text.eos_id, np.int64)


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise EnvironmentFault(f"/proc/self/status has no {field}; memory can't be measured here.")


def _resident_bytes() -> int:
    return _status_bytes("VmRSS:")


def _reset_peak() -> int:
    """Starts a new peak and returns what is resident now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        # Some sandboxes forbid it. The peak then starts at the one of the imports, the lowest
        # baseline that never understates the rise.
        return min(_resident_bytes(), _peak_bytes())
    return _resident_bytes()


def _peak_bytes() -> int:
    try:
        return _status_bytes("VmHWM:")
    except EnvironmentFault:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    job = Job(**json.loads(sys.argv[1]))
    try:
        answer = asdict(_run(job))
    except RsqError as e:
        answer = {"error": e.message, "code": e.code}
    print(json.dumps(answer), flush=True)
    # Skips teardown: some runtimes crash in it, and nothing here is left to write.
    os._exit(0)


if __name__ == "__main__":
    main()
