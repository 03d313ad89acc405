"""Records of the registry on the wire."""

from __future__ import annotations

from rsq import records
from rsq.errors import BadInput
from rsq.manifest import Tower
from rsq.v1 import registry_pb2 as pb

_TOWERS: dict[Tower, pb.Tower] = {"vision": pb.TOWER_VISION, "text": pb.TOWER_TEXT}
_TOWER_NAMES = {value: name for name, value in _TOWERS.items()}


def tower_to_pb(tower: Tower) -> pb.Tower:
    return _TOWERS[tower]


def tower_from_pb(value: pb.Tower) -> Tower:
    """Raises BadInput for a tower this release does not know."""
    if value not in _TOWER_NAMES:
        raise BadInput(f"Unknown tower number {int(value)}; towers are vision and text.")
    return _TOWER_NAMES[value]


def profile_to_pb(row: records.Profile) -> pb.Profile:
    return pb.Profile(
        artifact_id=row.artifact_id,
        device=row.device,
        provider=row.provider,
        batch=row.batch,
        workers=row.workers,
        threads=row.threads,
        p50_ms=row.p50_ms,
        p95_ms=row.p95_ms,
        per_second=row.per_second,
        load_ms=row.load_ms,
        peak_bytes=row.peak_bytes,
        steady_bytes=row.steady_bytes,
        baseline_bytes=row.baseline_bytes,
        source=row.source,
    )


def profile_from_pb(message: pb.Profile) -> records.Profile:
    return records.Profile(
        artifact_id=message.artifact_id,
        device=message.device,
        provider=message.provider,
        batch=message.batch,
        workers=message.workers,
        threads=message.threads,
        p50_ms=message.p50_ms,
        p95_ms=message.p95_ms,
        per_second=message.per_second,
        load_ms=message.load_ms,
        peak_bytes=message.peak_bytes,
        steady_bytes=message.steady_bytes,
        baseline_bytes=message.baseline_bytes,
        source=message.source,
    )


def artifact_evaluation_to_pb(row: records.ArtifactEvaluation) -> pb.ArtifactEvaluation:
    return pb.ArtifactEvaluation(
        dataset=row.dataset, dataset_digest=row.dataset_digest, metrics=row.metrics
    )


def artifact_evaluation_from_pb(
    artifact_id: str, message: pb.ArtifactEvaluation
) -> records.ArtifactEvaluation:
    return records.ArtifactEvaluation(
        artifact_id, message.dataset, message.dataset_digest, dict(message.metrics)
    )


def pair_evaluation_to_pb(row: records.PairEvaluation) -> pb.PairEvaluation:
    return pb.PairEvaluation(
        vision_id=row.vision_id,
        text_id=row.text_id,
        dataset=row.dataset,
        dataset_digest=row.dataset_digest,
        metrics=row.metrics,
    )


def pair_evaluation_from_pb(message: pb.PairEvaluation) -> records.PairEvaluation:
    return records.PairEvaluation(
        message.vision_id,
        message.text_id,
        message.dataset,
        message.dataset_digest,
        dict(message.metrics),
    )


def artifact_to_pb(row: records.ArtifactRow) -> pb.Artifact:
    return pb.Artifact(
        id=row.id,
        tower=tower_to_pb(row.tower),
        variant=row.variant,
        size_bytes=row.size_bytes,
        providers=row.providers,
        batch_invariant=row.batch_invariant,
        evaluation=artifact_evaluation_to_pb(row.evaluation) if row.evaluation else None,
        profiles=[profile_to_pb(profile) for profile in row.profiles],
    )


def artifact_from_pb(message: pb.Artifact) -> records.ArtifactRow:
    evaluation = None
    if message.HasField("evaluation"):
        evaluation = artifact_evaluation_from_pb(message.id, message.evaluation)
    return records.ArtifactRow(
        id=message.id,
        tower=tower_from_pb(message.tower),
        variant=message.variant,
        size_bytes=message.size_bytes,
        providers=tuple(message.providers),
        batch_invariant=message.batch_invariant,
        evaluation=evaluation,
        profiles=tuple(profile_from_pb(profile) for profile in message.profiles),
    )


def version_to_pb(row: records.VersionRow) -> pb.Version:
    return pb.Version(
        model=row.model,
        version=row.version,
        space_id=row.space_id,
        dimension=row.dimension,
        created_at=row.created_at,
        licence=row.licence,
        source=row.source,
        artifacts=[artifact_to_pb(artifact) for artifact in row.artifacts],
        pairs=[pair_evaluation_to_pb(pair) for pair in row.pairs],
        aliases=row.aliases,
        source_digest=row.source_digest,
        details_digest=row.details_digest,
        deprecated=row.deprecated,
        deleted_at=row.deleted_at,
    )


def version_from_pb(message: pb.Version) -> records.VersionRow:
    return records.VersionRow(
        model=message.model,
        version=message.version,
        space_id=message.space_id,
        dimension=message.dimension,
        created_at=message.created_at,
        licence=message.licence,
        source=message.source,
        artifacts=tuple(artifact_from_pb(artifact) for artifact in message.artifacts),
        pairs=tuple(pair_evaluation_from_pb(pair) for pair in message.pairs),
        aliases=tuple(message.aliases),
        source_digest=message.source_digest,
        details_digest=message.details_digest if message.HasField("details_digest") else None,
        deprecated=message.deprecated if message.HasField("deprecated") else None,
        deleted_at=message.deleted_at if message.HasField("deleted_at") else None,
    )


def alias_event_to_pb(row: records.AliasEvent) -> pb.AliasEvent:
    return pb.AliasEvent(
        model=row.model, alias=row.alias, version=row.version, at=row.at, by=row.by
    )


def alias_event_from_pb(message: pb.AliasEvent) -> records.AliasEvent:
    return records.AliasEvent(
        message.model,
        message.alias,
        message.version if message.HasField("version") else None,
        message.at,
        message.by,
    )


def model_to_pb(row: records.ModelRow) -> pb.Model:
    return pb.Model(name=row.name, versions=row.versions, newest=row.newest, aliases=row.aliases)


def model_from_pb(message: pb.Model) -> records.ModelRow:
    return records.ModelRow(message.name, message.versions, message.newest, dict(message.aliases))


def node_report_to_pb(row: records.NodeReport) -> pb.NodeReport:
    return pb.NodeReport(
        node_id=row.node_id,
        hostname=row.hostname,
        agent_version=row.agent_version,
        device=row.device,
        providers=row.providers,
        memory_bytes=row.memory_bytes,
        model=row.model,
        version=row.version,
        artifact_ids=row.artifact_ids,
        profiles=[profile_to_pb(profile) for profile in row.profiles],
    )


def node_report_from_pb(message: pb.NodeReport) -> records.NodeReport:
    return records.NodeReport(
        node_id=message.node_id,
        hostname=message.hostname,
        agent_version=message.agent_version,
        device=message.device,
        providers=tuple(message.providers),
        memory_bytes=message.memory_bytes,
        model=message.model,
        version=message.version,
        artifact_ids=tuple(message.artifact_ids),
        profiles=tuple(profile_from_pb(profile) for profile in message.profiles),
    )


def node_to_pb(row: records.NodeRow) -> pb.Node:
    return pb.Node(report=node_report_to_pb(row.report), seen_at=row.seen_at)


def node_from_pb(message: pb.Node) -> records.NodeRow:
    return records.NodeRow(node_report_from_pb(message.report), message.seen_at)
