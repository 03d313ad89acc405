"""Pull: resolve, plan, fetch, prove, activate, report.

Nothing is moved before the plan is known, and nothing is activated before it has proved itself in a
process of its own on this very device.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rsq import __version__
from rsq.chunks import chunk_range
from rsq.errors import BadMirror, Exhausted, NothingFits
from rsq.manifest import FileEntry, Manifest
from rsq.prediction import SHARED_BYTES
from rsq.profiling import measure, to_profile
from rsq.provider_options import NO_RULES, DeviceRules
from rsq.records import NodeReport, Profile, VersionRow
from rsq.resolve import Choice, Device, Request, Resolution, resolve
from rsq.units import format_size
from rsq_agent.cache import Cache
from rsq_agent.collections.sharing import record_sharing
from rsq_agent.node.host import host_name, memory_bytes
from rsq_agent.pulling.local_chunks import LocalChunks
from rsq_agent.pulling.partial_file import allocated_bytes, read_bitmap
from rsq_agent.pulling.rate_limit import RateLimit
from rsq_agent.pulling.sources import ChunkSource, Origin, Sources
from rsq_agent.pulling.transfer import Courier
from rsq_agent.state import Activation, Wishes, node_id

# Kept free beside the payload, for the state, logs and collections of the node.
DISK_HEADROOM_BYTES = 64 << 20
PATIENCE_SECONDS = 60.0  # how long nothing may arrive before a pull gives up


@dataclass(frozen=True)
class PullPlan:
    """What a pull would do. `files` are those not complete on the node, each once. Bytes are reused
    where whole files are here, or chunks of a file in other artifacts or a cut-off transfer."""

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
                    "margin_bytes": choice.margin_bytes,
                    "estimated": choice.estimated,
                    "basis": choice.basis,
                    "p50_ms": choice.p50_ms,
                }
                for choice in self.resolution.chosen
            ],
            "candidates": [candidate.to_json() for candidate in self.resolution.candidates],
            "warnings": list(self.resolution.warnings),
            "bytes_to_fetch": self.bytes_to_fetch,
            "bytes_reused": self.bytes_reused,
        }


def plan_pull(
    origin: Origin,
    cache: Cache,
    reference: str,
    request: Request,
    *,
    vouch: Callable[[str, VersionRow], VersionRow] = lambda reference, version: version,
) -> PullPlan:
    """Asks for the version and decides; moves manifests only. Hashes what is on the node, so that a
    damaged file is planned anew. `vouch` gives what was signed of the version, before anything else
    is asked for.

    Raises NotFound, NothingFits, Unreachable or IntegrityError, and what `vouch` raises.
    """
    version = vouch(reference, origin.version(reference))
    resolution = resolve(version, request)
    manifests = {}
    for choice in resolution.chosen:
        data = (
            cache.manifest_path(choice.id).read_bytes()
            if cache.manifest_path(choice.id).is_file()
            else origin.manifest(choice.id)
        )
        manifests[choice.id] = cache.add_manifest(choice.id, data)
    entries = {entry.sha256: entry for manifest in manifests.values() for entry in manifest.files}
    missing = tuple(entry for entry in entries.values() if not cache.is_intact(entry))
    local = LocalChunks(cache, missing)
    to_fetch = sum(_bytes_to_fetch(cache, entry, local) for entry in missing)
    total = sum(entry.size_bytes for entry in entries.values())
    return PullPlan(version, resolution, manifests, missing, to_fetch, total - to_fetch)


def _bytes_to_fetch(cache: Cache, entry: FileEntry, local: LocalChunks) -> int:
    held = read_bitmap(cache.partial_path(entry.sha256), entry)
    return sum(
        chunk_range(entry, index)[1] for index in held.missing() if entry.chunks[index] not in local
    )


def fetch_plan(
    origin: ChunkSource,
    cache: Cache,
    plan: PullPlan,
    *,
    on_bytes: Callable[[int], None],
    readers: int,
    mirrors: Sequence[ChunkSource] = (),
    bytes_per_second: int | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
    on_bad_mirror: Callable[[BadMirror], None] = lambda error: None,
) -> int:
    """Brings every file of the plan here and returns the bytes that crossed the network; `on_bytes`
    hears of those that are verified and on disk, `on_bad_mirror` of mirrors that send wrong bytes.
    Raises Exhausted before the first byte when the disk is too small."""
    _check_disk(cache, plan)
    record_sharing(cache, plan.version)
    stop = threading.Event()
    courier = Courier(
        sources=Sources(origin, mirrors, on_bad=on_bad_mirror),
        local=LocalChunks(cache, plan.files),
        limit=RateLimit(bytes_per_second, sleep=stop.wait),
        readers=readers,
        patience_seconds=patience_seconds,
        on_bytes=on_bytes,
        stop=stop,
    )
    for entry in plan.files:
        courier.fetch_file(cache, entry)
    return courier.moved_bytes


def _check_disk(cache: Cache, plan: PullPlan) -> None:
    cache.home.mkdir(parents=True, exist_ok=True)
    held = sum(allocated_bytes(cache.partial_path(entry.sha256)) for entry in plan.files)
    needed = sum(entry.size_bytes for entry in plan.files) - held + DISK_HEADROOM_BYTES
    free = shutil.disk_usage(cache.home).free
    if free < needed:
        raise Exhausted(
            f"The pull needs {format_size(needed)} on the disk of {cache.home}; "
            f"{format_size(free)} are free."
        )


def prove(
    cache: Cache,
    choice: Choice,
    *,
    device: Device,
    batches: tuple[int, ...],
    threads: int,
    source: str,
    rules: DeviceRules = NO_RULES,
    on_notice: Callable[[str], None] = lambda notice: None,
) -> list[Profile]:
    """Loads the artifact in a fresh process on this device, replays its golden probe and measures
    it at each batch. `on_notice` hears what runs on the CPU by leave of `rules`.

    Raises ProbeFailed, CpuFallback or EnvironmentFault.
    """
    profiles = []
    for batch in batches:
        measurement = measure(
            cache.artifact_folder(choice.id),
            cache.manifest_path(choice.id),
            batch=batch,
            provider=choice.provider,
            threads=threads,
            seconds=0.5,
            rules=rules,
        )
        if measurement.notice is not None:
            on_notice(measurement.notice)
        profiles.append(
            to_profile(
                measurement,
                artifact_id=choice.id,
                device=device.device_class,
                provider=measurement.provider,
                batch=batch,
                threads=threads,
                source=source,
            )
        )
    return profiles


def check_budget(plan: PullPlan, profiles: list[Profile], request: Request) -> None:
    """Raises NothingFits when what was measured here is over the budget after all."""
    available = request.available_bytes
    peaks = {profile.artifact_id: 0 for profile in profiles}
    for profile in profiles:
        peaks[profile.artifact_id] = max(peaks[profile.artifact_id], profile.peak_bytes)
    limits: list[tuple[str, int, int]] = [
        (choice.tower, peaks.get(choice.id, 0), request.tower_budgets[choice.tower])
        for choice in plan.resolution.chosen
        if choice.tower in request.tower_budgets
    ]
    if available is not None:
        limits.append(("artifacts", _add_up(plan, peaks), available))
    for what, peak, limit in limits:
        if peak > limit:
            raise NothingFits(
                f"Measured on this node, the chosen {what} peak at {format_size(peak)}, over the "
                f"budget of {format_size(limit)}. The server has been told; pull again to get the "
                "next best.",
                candidates=[candidate.to_json() for candidate in plan.resolution.candidates],
            )


def _add_up(plan: PullPlan, peaks: Mapping[str, int]) -> int:
    """Bytes of all artifacts in one process; what they share was measured with each."""
    one_runtime = len({choice.provider for choice in plan.resolution.chosen}) == 1
    return sum(peaks.values()) - (len(peaks) - 1) * SHARED_BYTES * one_runtime


def to_activation(
    plan: PullPlan, request: Request, *, reserve_bytes: int | None = None
) -> Activation:
    """`reserve_bytes` where the user named it; else the next pull finds it anew."""
    return Activation(
        model=plan.version.model,
        version=plan.version.version,
        artifacts=tuple(choice.id for choice in plan.resolution.chosen),
        providers=tuple(choice.provider for choice in plan.resolution.chosen),
        max_batch=request.max_batch,
        budget_bytes=request.budget_bytes,
        wishes=Wishes(
            str(request.objective),
            request.min_accuracy,
            request.pin,
            vision_budget_bytes=request.tower_budgets.get("vision"),
            text_budget_bytes=request.tower_budgets.get("text"),
            reserve_bytes=reserve_bytes,
        ),
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
