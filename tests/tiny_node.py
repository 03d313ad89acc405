"""A node's cache with tiny artifacts in it, as a pull leaves them, without a server."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from tiny_artifacts import TinyArtifact

from rsq.providers import CPU_PROVIDER
from rsq_agent.cache import Cache
from rsq_agent.state import Activation


def stock(
    cache: Cache,
    artifacts: Sequence[TinyArtifact],
    *,
    model: str = "tiny",
    version: int = 1,
    budget_bytes: int | None = None,
    peak_bytes: int = 1_000_000,
) -> Activation:
    """Puts the artifacts on the node; the activation that serves them."""
    for artifact in artifacts:
        cache.add_manifest(artifact.id, artifact.manifest_bytes)
        for entry in artifact.manifest.files:
            if not cache.has_blob(entry):
                arriving = cache.partial_path(entry.sha256)
                arriving.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(artifact.folder / entry.name, arriving)
                cache.add_blob(arriving, entry)
    return Activation(
        model,
        version,
        tuple(artifact.id for artifact in artifacts),
        (CPU_PROVIDER,) * len(artifacts),
        max_batch=8,
        budget_bytes=budget_bytes,
        peak_bytes=peak_bytes,
        load_seconds=0.1,
    )
