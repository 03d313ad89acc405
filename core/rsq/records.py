"""Records that point at artifact ids: what was measured, by whom, and what a version holds.

These are the rows that the registry stores, the wire carries and the resolver reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rsq.manifest import Tower

# A profile's source where no node measured it.
PUBLISHER = "publisher"


@dataclass(frozen=True)
class Profile:
    """One artifact measured on one device class at one batch and split of workers and threads.

    `peak_bytes` follows the project's definition: on a GPU the process's device memory by NVML; on
    a CPU the rise of peak resident memory over the process after imports, across load, warm-up and
    runs at that batch, in a fresh process. `steady_bytes` is the same at rest after the runs.
    """

    artifact_id: str
    device: str  # a class of `rsq.device_class`, such as "cpu" or "cuda:NVIDIA H100"
    provider: str  # execution provider, such as "CPUExecutionProvider"
    batch: int
    workers: int
    threads: int
    p50_ms: float  # per batch
    p95_ms: float
    per_second: float  # items
    load_ms: float
    peak_bytes: int
    steady_bytes: int
    baseline_bytes: int  # the process before the load
    source: str  # "publisher" or "node:<id>"


@dataclass(frozen=True)
class ArtifactEvaluation:
    """Accuracy of one artifact against FP32 (this tower, the other tower in FP32) on a named,
    digested data set. `metrics` are named as in the JSON output."""

    artifact_id: str
    dataset: str
    dataset_digest: str
    metrics: dict[str, float]


@dataclass(frozen=True)
class PairEvaluation:
    """Accuracy of a vision artifact with a text artifact against the FP32 pair."""

    vision_id: str
    text_id: str
    dataset: str
    dataset_digest: str
    metrics: dict[str, float]


@dataclass(frozen=True)
class ArtifactRow:
    """An artifact as a version lists it."""

    id: str
    tower: Tower
    variant: str
    size_bytes: int
    providers: tuple[str, ...]  # the execution providers its recipe is for
    batch_invariant: bool
    evaluation: ArtifactEvaluation | None = None
    profiles: tuple[Profile, ...] = ()


@dataclass(frozen=True)
class VersionRow:
    """One immutable version with everything recorded about its artifacts.

    `details_digest` is of the blob with what its report shows. `deprecated` says why the version is
    advised against. Since `deleted_at` its files may be gone; what was recorded stays.
    """

    model: str
    version: int
    space_id: str
    dimension: int
    created_at: str  # RFC 3339, UTC
    licence: str
    source: str
    artifacts: tuple[ArtifactRow, ...]
    pairs: tuple[PairEvaluation, ...] = ()
    aliases: tuple[str, ...] = ()
    source_digest: str = ""
    details_digest: str | None = None
    deprecated: str | None = None
    deleted_at: str | None = None  # RFC 3339, UTC

    def artifact(self, tower: Tower, variant: str) -> ArtifactRow | None:
        for row in self.artifacts:
            if row.tower == tower and row.variant == variant:
                return row
        return None


@dataclass(frozen=True)
class ModelRow:
    name: str
    versions: int
    newest: int
    aliases: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class AliasEvent:
    """One move of an alias. `version` is None where it was removed."""

    model: str
    alias: str
    version: int | None
    at: str  # RFC 3339, UTC
    by: str


@dataclass(frozen=True)
class NodeReport:
    """What a node says of itself: its device, what it runs, what it measured."""

    node_id: str
    hostname: str
    agent_version: str
    device: str
    providers: tuple[str, ...]
    memory_bytes: int
    model: str
    version: int
    artifact_ids: tuple[str, ...]
    profiles: tuple[Profile, ...] = ()


@dataclass(frozen=True)
class NodeRow:
    report: NodeReport
    seen_at: str  # RFC 3339, UTC
