"""What a tower may do on this node's device: its share of the budget, its caches."""

from __future__ import annotations

from collections.abc import Mapping

from rsq.provider_options import DeviceRules
from rsq_agent.cache import Cache


def tower_rules(
    cache: Cache,
    artifact_id: str,
    sizes: Mapping[str, int],
    *,
    budget_bytes: int | None,
    allow_cpu: bool,
) -> DeviceRules:
    """The rules for one of the artifacts in `sizes` (bytes of their graph and weights, by id), all
    of which share `budget_bytes`: each may take what the weights of the others leave. A budget that
    is spent already still gives one byte, since providers read 0 as no cap."""
    cap = None
    if budget_bytes is not None:
        others = sum(size for other, size in sizes.items() if other != artifact_id)
        cap = max(budget_bytes - others, 1)
    return DeviceRules(cap, cache.compiled_folder(artifact_id), allow_cpu)
