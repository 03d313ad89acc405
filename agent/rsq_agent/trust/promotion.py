"""Why a version runs here, from signed metadata alone."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rsq.errors import NotFound
from rsq.reference import DEFAULT_ALIAS, parse_reference
from rsq.updates.signed_version import (
    aliases_path,
    artifact_path,
    read_aliases,
    read_promotions,
    read_version,
    version_path,
)
from rsq_agent.trust.signed_versions import FindTarget


def explain(find: FindTarget, reference: str) -> dict[str, Any]:
    """What was signed of the version that `reference` means: its source, the aliases that name it
    since when and by whom, and each artifact with its evaluation and lineage. Raises NotFound where
    nothing was signed of it, Untrusted for what is malformed."""
    wanted = parse_reference(reference)
    listed = find(aliases_path(wanted.name))
    if listed is None:
        raise NotFound(f"Nothing was signed of {wanted.name}, as far as this node knows.")
    aliases = read_aliases(listed.custom)
    number = wanted.number or aliases.versions.get(wanted.alias or DEFAULT_ALIAS)
    if number is None and wanted.alias is None:
        number = aliases.newest
    target = None if number is None else find(version_path(wanted.name, number))
    if number is None or target is None:
        raise NotFound(f"Nothing was signed of {reference}, as far as this node knows.")
    bare = read_version(target.custom, {})
    customs = {}
    for row in bare.artifacts:
        found = find(artifact_path(bare.model, bare.version, row))
        if found is not None:
            customs[row.id] = found.custom
    version = read_version(target.custom, customs)
    promotions = read_promotions(listed.custom)
    return {
        "model": version.model,
        "version": version.version,
        "created_at": version.created_at,
        "source": version.source,
        "source_digest": version.source_digest,
        "licence": version.licence,
        "aliases": {
            name: promotions[name]
            for name, meant in aliases.versions.items()
            if meant == version.version
        },
        "artifacts": [
            {
                "id": row.id,
                "tower": row.tower,
                "variant": row.variant,
                "evaluation": None if row.evaluation is None else asdict(row.evaluation),
                "lineage": customs.get(row.id, {}).get("lineage"),
            }
            for row in version.artifacts
        ],
    }
