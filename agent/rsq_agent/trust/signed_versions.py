"""Holds what a registry says of a version against what was signed of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from rsq.errors import RolledBack, UnsignedArtifact, WrongTarget
from rsq.records import ArtifactRow, VersionRow
from rsq.reference import DEFAULT_ALIAS, parse_reference
from rsq.updates.signed_version import (
    aliases_path,
    artifact_path,
    read_aliases,
    read_version,
    version_path,
)


@dataclass(frozen=True)
class SignedTarget:
    """`sha256` is of the bytes that were signed under this path."""

    sha256: str
    custom: Any


FindTarget = Callable[[str], SignedTarget | None]


def vouch(find: FindTarget, reference: str, version: VersionRow) -> VersionRow:
    """`version`, the registry's answer to `reference` (a bundle's where it is empty), as far as it
    was signed: evaluations, pairs and sources are the signed ones, profiles the registry's.

    Raises UnsignedArtifact for a version or artifact that no targets list, WrongTarget where it is
    not what was signed under its name, RolledBack for an alias that points at an older version than
    was signed.
    """
    name = f"{version.model}:{version.version}"
    _check_reference(find, reference, version)
    target = find(version_path(version.model, version.version))
    if target is None:
        raise UnsignedArtifact(
            f"{name} is not signed, and this node takes only what is. Sign it with: rsq-server "
            f"trust sign {name}"
        )
    signed = read_version(target.custom, _check_artifacts(find, version))
    if (signed.model, signed.version) != (version.model, version.version):
        raise WrongTarget(f"Under {name} stands what was signed as another version.")
    rows = {row.id: row for row in signed.artifacts}
    for row in version.artifacts:
        known = rows.get(row.id)
        if known is None or (known.tower, known.variant) != (row.tower, row.variant):
            raise WrongTarget(f"{_describe(version, row)} is not the one that was signed.")
    if (signed.space_id, signed.dimension) != (version.space_id, version.dimension):
        raise WrongTarget(f"{name} has another embedding space than the one that was signed.")
    ids = {row.id for row in version.artifacts}
    return replace(
        version,
        artifacts=tuple(replace(rows[row.id], profiles=row.profiles) for row in version.artifacts),
        pairs=tuple(pair for pair in signed.pairs if {pair.vision_id, pair.text_id} <= ids),
        licence=signed.licence,
        source=signed.source,
        source_digest=signed.source_digest,
        created_at=signed.created_at,
    )


def _check_artifacts(find: FindTarget, version: VersionRow) -> dict[str, Any]:
    """The custom data of every artifact by its id."""
    customs = {}
    for row in version.artifacts:
        target = find(artifact_path(version.model, version.version, row))
        if target is None:
            raise UnsignedArtifact(
                f"{_describe(version, row)} is not signed, and this node takes only what is."
            )
        if target.sha256 != row.id:
            raise WrongTarget(
                f"{_describe(version, row)} is artifact {row.id[:12]}, but {target.sha256[:12]} "
                "was signed. The registry, or someone on the way, exchanged it."
            )
        customs[row.id] = target.custom
    return customs


def _check_reference(find: FindTarget, reference: str, version: VersionRow) -> None:
    """Whether an alias, or a bare name, means this version by the signed aliases too."""
    if not reference:
        return  # a bundle: whoever carried it here chose it
    wanted = parse_reference(reference)
    if wanted.name != version.model or wanted.number not in (None, version.version):
        raise WrongTarget(
            f"The registry answers {reference} with {version.model}:{version.version}."
        )
    if wanted.number is not None:
        return
    target = find(aliases_path(version.model))
    if target is None:
        raise UnsignedArtifact(
            f"The aliases of {version.model} are not signed. Sign them with: rsq-server trust sign "
            f"{version.model}"
        )
    aliases = read_aliases(target.custom)
    alias = wanted.alias or DEFAULT_ALIAS
    meant = aliases.versions.get(alias)
    if meant is None and wanted.alias is None:
        meant = aliases.newest
    if meant == version.version:
        return
    said = f"The registry says that {reference} is version {version.version}"
    if meant is not None and version.version < meant:
        raise RolledBack(f"{said}, but version {meant} was signed for it since.")
    signed = "nothing" if meant is None else f"version {meant}"
    raise WrongTarget(
        f"{said}, but {signed} was signed for it. If the alias has just moved, run: rsq-server "
        f"trust sign {version.model}"
    )


def _describe(version: VersionRow, row: ArtifactRow) -> str:
    return f"The {row.tower} {row.variant} of {version.model}:{version.version}"
