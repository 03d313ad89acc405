"""Latency, throughput, memory and load time of one artifact at one batch, in a fresh process.

`measure` starts `python -m rsq.profile_run` once a batch, so that one measurement never shows in
the next. The publisher and the node measure with this same code. Nothing heavy is imported here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from rsq.errors import CpuFallback, EnvironmentFault, ProbeFailed
from rsq.provider_options import NO_RULES, DeviceRules
from rsq.records import Profile

RUN_SECONDS = 3.0  # per batch
TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True)
class Job:
    """What the fresh process is asked to measure."""

    folder: str
    manifest: str  # path of the manifest
    batch: int
    provider: str
    threads: int
    seconds: float
    quick: bool
    memory_bytes: int | None
    cache_folder: str | None
    allow_cpu: bool


@dataclass(frozen=True)
class Measurement:
    """What it answers. The probe's worst cosines prove that it computed the right thing.

    `provider` is what ran it, and `notice` a sentence where that is not what was asked for.
    """

    p50_ms: float
    p95_ms: float
    per_second: float
    load_ms: float
    peak_bytes: int
    steady_bytes: int
    baseline_bytes: int
    probe_own_cosine_min: float
    probe_fp32_cosine_min: float
    provider: str
    notice: str | None


def measure(
    folder: Path,
    manifest_path: Path,
    *,
    batch: int,
    provider: str,
    threads: int,
    seconds: float = RUN_SECONDS,
    quick: bool = False,
    rules: DeviceRules = NO_RULES,
) -> Measurement:
    """Measures the artifact whose files lie in `folder`, and replays its golden probe. `quick` is
    for memory: it takes one run after the warm-up, and the times are that run's.

    Raises ProbeFailed when the probe fails there, CpuFallback when the CPU would run it though it
    was asked for elsewhere, EnvironmentFault when the process dies, hangs or can't load it.
    """
    job = Job(
        folder=str(folder),
        manifest=str(manifest_path),
        batch=batch,
        provider=provider,
        threads=threads,
        seconds=seconds,
        quick=quick,
        memory_bytes=rules.memory_bytes,
        cache_folder=str(rules.cache_folder) if rules.cache_folder is not None else None,
        allow_cpu=rules.allow_cpu,
    )
    command = [sys.executable, "-m", "rsq.profile_run", json.dumps(asdict(job))]
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
        kinds = {kind.code: kind for kind in (ProbeFailed, CpuFallback)}
        raise kinds.get(answer["code"], EnvironmentFault)(answer["error"])
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
