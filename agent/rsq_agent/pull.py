"""Pull: resolve, plan, fetch, prove, activate, report.

Nothing is moved before the plan is known, and nothing is activated before it has proved itself in a
process of its own on this very device.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rsq import __version__
from rsq.errors import Exhausted, NothingFits
from rsq.manifest import FileEntry, Manifest
from rsq.profiling import measure, to_profile
from rsq.records import NodeReport, Profile, VersionRow
from rsq.resolve import Choice, Device, Request, Resolution, resolve
from rsq.rpc.registry import RegistryClient
from rsq.units import format_size
from rsq_agent.cache import Cache
from rsq_agent.device import host_name, memory_bytes
from rsq_agent.state import Activation, node_id
from rsq_agent.transfer import fetch_file

# Kept free beside the payload, for the state, logs and collections of the node.
DISK_HEADROOM_BYTES = 64 << 20


@dataclass(frozen=True)
class PullPlan:
    """What a pull would do. `files` are those not on the node yet, each once."""

    version: VersionRow
    resolution: Resolution
    manifests: dict[str, Manifest]  # by artifact id
    files: tuple[FileEntry, ...]
    bytes_to_fetch: int
    bytes_reused: int

    def to_json(self) -> dict[str, Any]:
        """The shape of `rsq-agent pull --json`, as far as it is known before anything moves."""
        return {
            "model": self.version.model,
            "version": self.version.version,
            "chosen": [
                {
                    "tower": choice.tower,
                    "variant": choice.variant,
                    "id": choice.id,
                    "provider": choice.provider,
                    "predicted_peak_bytes": choice.predicted_peak_bytes,
                    "estimated": choice.estimated,
                }
                for choice in self.resolution.chosen
            ],
            "candidates": [candidate.to_json() for candidate in self.resolution.candidates],
            "bytes_to_fetch": self.bytes_to_fetch,
            "bytes_reused": self.bytes_reused,
        }


def plan_pull(client: RegistryClient, cache: Cache, reference: str, request: Request) -> PullPlan:
    """Asks the server for the version and decides; moves manifests only.

    Raises NotFound, NothingFits, Unreachable or IntegrityError.
    """
    version = client.version(reference)
    resolution = resolve(version, request)
    manifests = {}
    for choice in resolution.chosen:
        data = (
            cache.manifest_path(choice.id).read_bytes()
            if cache.manifest_path(choice.id).is_file()
            else client.manifest(choice.id)
        )
        manifests[choice.id] = cache.add_manifest(choice.id, data)
    entries = {entry.sha256: entry for manifest in manifests.values() for entry in manifest.files}
    missing = tuple(entry for entry in entries.values() if not cache.has_blob(entry))
    to_fetch = sum(entry.size_bytes for entry in missing)
    total = sum(entry.size_bytes for entry in entries.values())
    return PullPlan(version, resolution, manifests, missing, to_fetch, total - to_fetch)


def fetch_plan(
    client: RegistryClient,
    cache: Cache,
    plan: PullPlan,
    *,
    readers: int,
    on_bytes: Callable[[int], None],
) -> int:
    """Brings every file of the plan here and returns the bytes moved. Raises Exhausted before the
    first byte when the disk is too small."""
    cache.home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache.home).free
    needed = plan.bytes_to_fetch + DISK_HEADROOM_BYTES
    if free < needed:
        raise Exhausted(
            f"The pull needs {format_size(needed)} on the disk of {cache.home}; "
            f"{format_size(free)} are free."
        )
    return sum(
        fetch_file(client, cache, entry, readers=readers, on_bytes=on_bytes) for entry in plan.files
    )


def prove(
    cache: Cache,
    choice: Choice,
    *,
    device: Device,
    batches: tuple[int, ...],
    threads: int,
    source: str,
) -> list[Profile]:
    """Loads the artifact in a fresh process on this device, replays its golden probe and measures
    it at each batch. Raises ProbeFailed or EnvironmentFault."""
    folder = cache.artifact_folder(choice.id)
    manifest_path = cache.manifest_path(choice.id)
    return [
        to_profile(
            measure(
                folder,
                manifest_path,
                batch=batch,
                provider=choice.provider,
                threads=threads,
                seconds=0.5,
            ),
            artifact_id=choice.id,
            device=device.device_class,
            provider=choice.provider,
            batch=batch,
            threads=threads,
            source=source,
        )
        for batch in batches
    ]


def check_budget(plan: PullPlan, profiles: list[Profile], request: Request) -> None:
    """Raises NothingFits when what was measured here is over the budget after all."""
    if request.budget_bytes is None:
        return
    peaks = {profile.artifact_id: 0 for profile in profiles}
    for profile in profiles:
        peaks[profile.artifact_id] = max(peaks[profile.artifact_id], profile.peak_bytes)
    total = sum(peaks.values())
    if total > request.budget_bytes:
        raise NothingFits(
            f"Measured on this node, the chosen artifacts peak at {format_size(total)}, over the "
            f"budget of {format_size(request.budget_bytes)}. The server has been told; pull "
            "again to get the next best.",
            candidates=[candidate.to_json() for candidate in plan.resolution.candidates],
        )


def to_activation(plan: PullPlan, request: Request) -> Activation:
    return Activation(
        model=plan.version.model,
        version=plan.version.version,
        artifacts=tuple(choice.id for choice in plan.resolution.chosen),
        providers=tuple(choice.provider for choice in plan.resolution.chosen),
        max_batch=request.max_batch,
        budget_bytes=request.budget_bytes,
    )


def node_report(
    cache: Cache, device: Device, activation: Activation | None, profiles: list[Profile]
) -> NodeReport:
    """What this node tells the server of itself."""
    return NodeReport(
        node_id=node_id(cache),
        hostname=host_name(),
        agent_version=__version__,
        device=device.device_class,
        providers=device.providers,
        memory_bytes=memory_bytes(),
        model=activation.model if activation else "",
        version=activation.version if activation else 0,
        artifact_ids=activation.artifacts if activation else (),
        profiles=tuple(profiles),
    )
