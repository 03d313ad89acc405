"""Versions: numbered when they are added, never changed afterwards."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session, selectinload

from rsq.errors import BadInput, NotFound
from rsq.manifest import Manifest
from rsq.records import VersionRow
from rsq.reference import DEFAULT_ALIAS, Reference
from rsq_registry import aliases, artifacts, evaluations, profiles, tables
from rsq_registry.columns import format_time
from rsq_registry.drafts import VersionDraft
from rsq_registry.models import find_model, find_or_add_model, list_some


def add_version(
    session: Session,
    draft: VersionDraft,
    manifests: Mapping[str, Manifest],
    *,
    at: datetime,
) -> int:
    """Adds the checked draft and returns its number.

    1. Lock the model, so that numbers are given out one at a time. 2. The version and its
    artifacts. 3. What was measured of them. 4. The alias.
    """
    # 1. number
    model = find_or_add_model(session, draft.model)
    model.last_number += 1
    number = model.last_number
    # 2. version and artifacts
    version = tables.Version(
        model_id=model.id,
        number=number,
        created_at=at,
        space_id=draft.space_id,
        dimension=draft.dimension,
        licence=draft.licence,
        source=draft.source,
        source_digest=draft.source_digest,
        details_digest=draft.details_digest,
    )
    session.add(version)
    session.flush()
    listed = zip(manifests.items(), draft.artifacts, strict=True)
    for position, ((identity, manifest), data) in enumerate(listed):
        artifacts.add_artifact(session, identity, manifest, manifest_bytes=len(data))
        session.add(
            tables.VersionArtifact(version_id=version.id, artifact_id=identity, position=position)
        )
    session.flush()
    # 3. records
    for evaluation in draft.evaluations:
        evaluations.add_evaluation(session, evaluation, at=at)
    for pair in draft.pairs:
        evaluations.add_pair(session, pair, at=at)
    profiles.append_profiles(session, draft.profiles, at=at)
    # 4. alias
    if draft.alias is not None:
        aliases.append_event(session, model, draft.alias, number, by=draft.by, at=at)
    return number


def resolve_number(session: Session, reference: Reference) -> int:
    """The version number that `reference` means now. Raises NotFound."""
    model = find_model(session, reference.name)
    if reference.number is not None:
        return reference.number
    current = aliases.current_aliases(session, model.id).get(model.id, {})
    if reference.alias is None:
        return current.get(DEFAULT_ALIAS) or _newest_number(session, model)
    if reference.alias not in current:
        raise NotFound(_unknown_alias(model.name, reference.alias, current))
    return current[reference.alias]


def describe_version(session: Session, name: str, number: int) -> VersionRow:
    """Everything recorded about one version. Raises NotFound naming the versions there are."""
    model = find_model(session, name)
    version = _find_version(session, model, number)
    current = aliases.current_aliases(session, model.id).get(model.id, {})
    return VersionRow(
        model=model.name,
        version=version.number,
        space_id=version.space_id,
        dimension=version.dimension,
        created_at=format_time(version.created_at),
        licence=version.licence,
        source=version.source,
        artifacts=artifacts.describe_artifacts(session, version.artifacts),
        pairs=evaluations.newest_pairs(session, [artifact.id for artifact in version.artifacts]),
        aliases=tuple(alias for alias, target in current.items() if target == number),
        source_digest=version.source_digest,
        details_digest=version.details_digest,
        deprecated=version.deprecated,
        deleted_at=None if version.deleted_at is None else format_time(version.deleted_at),
    )


def find_same(session: Session, name: str, identities: Collection[str]) -> int | None:
    """The newest version of the model that has these very artifacts and was not deleted."""
    rows = session.execute(
        select(tables.Version.number, tables.VersionArtifact.artifact_id)
        .join(tables.Model, tables.Model.id == tables.Version.model_id)
        .join(tables.VersionArtifact, tables.VersionArtifact.version_id == tables.Version.id)
        .where(tables.Model.name == name, tables.Version.deleted_at.is_(None))
    )
    held: dict[int, set[str]] = {}
    for number, identity in rows:
        held.setdefault(number, set()).add(identity)
    return max((n for n, artifacts_ in held.items() if artifacts_ == set(identities)), default=None)


def referenced_digests(session: Session) -> set[str]:
    """The blobs that versions need: their artifacts' and their report data."""
    details = session.scalars(
        select(tables.Version.details_digest).where(
            tables.Version.details_digest.is_not(None), tables.Version.deleted_at.is_(None)
        )
    )
    return artifacts.referenced_digests(session) | {digest for digest in details if digest}


def move_alias(
    session: Session, name: str, alias: str, number: int | None, *, by: str, at: datetime
) -> None:
    """Points the alias at the version, or removes it for None. Raises NotFound for an unknown model
    or version or a deleted one, and for the removal of an alias that isn't set."""
    model = find_model(session, name, lock=True)
    if number is None:
        current = aliases.current_aliases(session, model.id).get(model.id, {})
        if alias not in current:
            raise NotFound(_unknown_alias(name, alias, current))
    else:
        _find_kept_version(session, model, number)
    aliases.append_event(session, model, alias, number, by=by, at=at)


def deprecate(session: Session, name: str, number: int, reason: str | None) -> None:
    """Advises against the version, or takes that back for None. Raises NotFound."""
    model = find_model(session, name, lock=True)
    _find_kept_version(session, model, number).deprecated = reason


def delete_version(session: Session, name: str, number: int, *, at: datetime) -> None:
    """Marks the version as deleted. Raises NotFound for one that is unknown or deleted already,
    BadInput while aliases point at it."""
    model = find_model(session, name, lock=True)
    version = _find_kept_version(session, model, number)
    current = aliases.current_aliases(session, model.id).get(model.id, {})
    held = [alias for alias, target in current.items() if target == number]
    if held:
        raise BadInput(
            f"Version {number} of {name} is {list_some(held)}. Point "
            f"{'it' if len(held) == 1 else 'them'} at another version first: "
            f"rsq-server alias set {name} {held[0]} N."
        )
    version.deleted_at = at


def unknown_version(model: tables.Model, number: int) -> NotFound:
    there = f"1 to {model.last_number}" if model.last_number > 1 else "only version 1"
    return NotFound(f"Model {model.name!r} has no version {number}; it has {there}.")


def _newest_number(session: Session, model: tables.Model) -> int:
    number = session.scalar(
        select(func.max(tables.Version.number)).where(
            tables.Version.model_id == model.id, tables.Version.deleted_at.is_(None)
        )
    )
    if number is None:
        raise NotFound(f"All versions of {model.name!r} were deleted.")
    return number


def _find_kept_version(session: Session, model: tables.Model, number: int) -> tables.Version:
    version = _find_version(session, model, number)
    if version.deleted_at is not None:
        raise NotFound(
            f"Version {number} of {model.name!r} was deleted on "
            f"{format_time(version.deleted_at)[:10]}."
        )
    return version


def _find_version(session: Session, model: tables.Model, number: int) -> tables.Version:
    version = session.scalar(
        select(tables.Version)
        .where(tables.Version.model_id == model.id, tables.Version.number == number)
        .options(
            selectinload(tables.Version.artifacts).selectinload(tables.Artifact.providers),
        )
    )
    if version is None:
        raise unknown_version(model, number)
    return version


def _unknown_alias(name: str, alias: str, current: Mapping[str, int]) -> str:
    if not current:
        return f"Model {name!r} has no alias {alias!r}; it has none."
    there = list_some([f"{known} (version {number})" for known, number in current.items()])
    return f"Model {name!r} has no alias {alias!r}; it has: {there}."
