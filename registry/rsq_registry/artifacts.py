"""Artifacts: rows made from manifests, and read back for a version."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from rsq.errors import NotFound
from rsq.manifest import Manifest
from rsq.records import ArtifactRow
from rsq_registry import evaluations, profiles, tables


def add_artifact(
    session: Session, identity: str, manifest: Manifest, *, manifest_bytes: int
) -> None:
    """Adds the rows of an artifact, unless another version brought them."""
    if session.get(tables.Artifact, identity) is not None:
        return
    session.add(
        tables.Artifact(
            id=identity,
            tower=manifest.tower,
            variant=manifest.variant,
            format=manifest.format,
            size_bytes=manifest.size_bytes,
            manifest_bytes=manifest_bytes,
            batch_invariant=manifest.batch_invariant,
            providers=[
                tables.ArtifactProvider(position=position, provider=provider)
                for position, provider in enumerate(manifest.recipe.providers)
            ],
            files=[
                tables.ArtifactFile(
                    position=position,
                    role=entry.role,
                    name=entry.name,
                    size_bytes=entry.size_bytes,
                    sha256=entry.sha256,
                )
                for position, entry in enumerate(manifest.files)
            ],
        )
    )
    session.flush()


def require_artifacts(session: Session, identities: Sequence[str]) -> None:
    """Raises NotFound unless every artifact is in this registry."""
    for identity in sorted(set(identities)):
        if session.get(tables.Artifact, identity) is None:
            raise NotFound(f"This registry has no artifact {identity}.")


def known_artifacts(session: Session, identities: Sequence[str]) -> set[str]:
    """Those of `identities` that are in this registry."""
    found = session.scalars(select(tables.Artifact.id).where(tables.Artifact.id.in_(identities)))
    return set(found)


def describe_artifacts(
    session: Session, artifacts: Sequence[tables.Artifact]
) -> tuple[ArtifactRow, ...]:
    """The artifacts' records, in their order, each with its newest evaluation and its profiles."""
    identities = [artifact.id for artifact in artifacts]
    evaluated = evaluations.newest_evaluations(session, identities)
    measured = profiles.profiles_of(session, identities)
    return tuple(
        ArtifactRow(
            id=artifact.id,
            tower=artifact.tower,
            variant=artifact.variant,
            size_bytes=artifact.size_bytes,
            providers=tuple(row.provider for row in artifact.providers),
            batch_invariant=artifact.batch_invariant,
            evaluation=evaluated.get(artifact.id),
            profiles=tuple(measured.get(artifact.id, ())),
        )
        for artifact in artifacts
    )


def referenced_digests(session: Session) -> set[str]:
    """The blobs that artifacts need: all manifests, and the files of versions not deleted."""
    manifests = session.scalars(select(tables.Artifact.id))
    files = session.scalars(
        select(tables.ArtifactFile.sha256)
        .join(
            tables.VersionArtifact,
            tables.VersionArtifact.artifact_id == tables.ArtifactFile.artifact_id,
        )
        .join(tables.Version, tables.Version.id == tables.VersionArtifact.version_id)
        .where(tables.Version.deleted_at.is_(None))
        .distinct()
    )
    return {*manifests, *files}


def deleted_owners(session: Session) -> dict[str, str]:
    """For each file of a deleted version, one such version as NAME:3."""
    rows = session.execute(
        select(tables.ArtifactFile.sha256, tables.Model.name, tables.Version.number)
        .join(
            tables.VersionArtifact,
            tables.VersionArtifact.artifact_id == tables.ArtifactFile.artifact_id,
        )
        .join(tables.Version, tables.Version.id == tables.VersionArtifact.version_id)
        .join(tables.Model, tables.Model.id == tables.Version.model_id)
        .where(tables.Version.deleted_at.is_not(None))
        .order_by(tables.Version.id)
    )
    return {digest: f"{name}:{number}" for digest, name, number in rows}
