"""Latency, throughput, memory and load time of an artifact on the publisher.

`rsq.profiling`, the code that nodes use too, measures each batch in a process of its own and
replays the golden probe there: nothing is published that a fresh process can't load and prove.
"""

from __future__ import annotations

from collections.abc import Sequence

from rsq.errors import EnvironmentFault, GateRefused, ProbeFailed
from rsq.onnx_session import cpu_class
from rsq.profiling import Measurement, measure, to_profile
from rsq.records import PUBLISHER, Profile
from rsq_server.build.artifact import MANIFEST_NAME, BuiltArtifact

DEFAULT_BATCHES = (1, 8, 32)
# Larger ones are measured for their memory, for which few runs are enough: seven of 32 images would
# be more work than both smaller batches.
LARGEST_TIMED_BATCH = 8


def profile_artifact(
    artifact: BuiltArtifact,
    *,
    batches: Sequence[int] = DEFAULT_BATCHES,
    threads: int,
) -> list[Profile]:
    """One profile a batch on the CPU, `threads` in the session, one worker. The times of batches
    over `LARGEST_TIMED_BATCH` are of one run.

    Raises EnvironmentFault naming an artifact whose process dies, hangs or can't load it, and
    GateRefused for one whose golden probe fails there.
    """
    provider = artifact.cpu_provider
    return [
        to_profile(
            _measure(artifact, batch=batch, provider=provider, threads=threads),
            artifact_id=artifact.id,
            device=cpu_class(),
            provider=provider,
            batch=batch,
            threads=threads,
            source=PUBLISHER,
        )
        for batch in batches
    ]


def _measure(artifact: BuiltArtifact, *, batch: int, provider: str, threads: int) -> Measurement:
    try:
        return measure(
            artifact.folder,
            artifact.folder / MANIFEST_NAME,
            batch=batch,
            provider=provider,
            threads=threads,
            quick=batch > LARGEST_TIMED_BATCH,
        )
    except ProbeFailed as e:
        raise GateRefused(f"The artifact {artifact} fails in a fresh process: {e.message}") from e
    except EnvironmentFault as e:
        raise EnvironmentFault(f"The artifact {artifact} can't be profiled: {e.message}") from e
