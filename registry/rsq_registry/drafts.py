"""What a publisher hands in, and whether it hangs together. No database here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rsq.digest import require_digest
from rsq.errors import BadInput, NotFound, SpaceMismatch
from rsq.manifest import Manifest, artifact_id, decode_manifest
from rsq.records import ArtifactEvaluation, PairEvaluation, Profile, VersionRow
from rsq.reference import require_alias, require_model_name
from rsq.version_record import MAX_ARTIFACTS
from rsq_registry.checks import (
    MAX_BYTES,
    check_evaluation,
    check_profile,
    require_distinct,
    require_integer,
    require_text,
    require_word,
)

MAX_PROFILES = 4096  # of one version


@dataclass(frozen=True)
class VersionDraft:
    """A version before it has a number. `artifacts` are the manifests' bytes, in the order in which
    the version lists them; evaluations, pairs and profiles speak of these artifacts only. `alias`
    moves to the new version in the same transaction; `by` says who published, for its history.
    `details_digest` is of a stored blob with what the version's report shows beyond its numbers."""

    model: str
    space_id: str
    dimension: int
    licence: str
    source: str
    source_digest: str
    artifacts: tuple[bytes, ...]
    evaluations: tuple[ArtifactEvaluation, ...] = ()
    pairs: tuple[PairEvaluation, ...] = ()
    profiles: tuple[Profile, ...] = ()
    alias: str | None = None
    by: str = "publisher"
    details_digest: str | None = None


def draft_from_record(
    version: VersionRow, manifests: Mapping[str, bytes], *, alias: str | None = None, by: str
) -> VersionDraft:
    """The draft that makes the version of another registry one of this registry; `manifests` by
    artifact id. Its number and time are not taken over.

    Raises NotFound for an artifact whose manifest is not among them.
    """
    for row in version.artifacts:
        if row.id not in manifests:
            raise NotFound(f"The manifest of artifact {row.id} is missing.")
    return VersionDraft(
        model=version.model,
        space_id=version.space_id,
        dimension=version.dimension,
        licence=version.licence,
        source=version.source,
        source_digest=version.source_digest,
        artifacts=tuple(manifests[row.id] for row in version.artifacts),
        evaluations=tuple(row.evaluation for row in version.artifacts if row.evaluation),
        pairs=version.pairs,
        profiles=tuple(profile for row in version.artifacts for profile in row.profiles),
        alias=alias,
        by=by,
        details_digest=version.details_digest,
    )


def check_draft(draft: VersionDraft) -> dict[str, Manifest]:
    """The draft's manifests by artifact id, in its order.

    Raises BadInput for a malformed or inconsistent draft, BadManifest for a malformed manifest,
    SpaceMismatch for an artifact of another space.
    """
    require_model_name(draft.model)
    require_digest(draft.space_id)
    require_digest(draft.source_digest)
    require_integer(draft.dimension, "dimension", low=1)
    require_text(draft.licence, "licence")
    require_text(draft.source, "source")
    require_word(draft.by, "publisher's name")
    if draft.alias is not None:
        require_alias(draft.alias)
    if draft.details_digest is not None:
        require_digest(draft.details_digest)
    if not 1 <= len(draft.artifacts) <= MAX_ARTIFACTS:
        raise BadInput(f"A version has 1 to {MAX_ARTIFACTS} artifacts, not {len(draft.artifacts)}.")
    if len(draft.profiles) > MAX_PROFILES:
        raise BadInput(f"The version has {len(draft.profiles)} profiles, over {MAX_PROFILES}.")
    manifests = {artifact_id(data): decode_manifest(data) for data in draft.artifacts}
    require_distinct([artifact_id(data) for data in draft.artifacts], "artifact")
    for identity, manifest in manifests.items():
        _check_artifact(draft, identity, manifest)
    require_distinct([f"{m.tower} {m.variant}" for m in manifests.values()], "tower and variant")
    _check_records(draft, manifests)
    return manifests


def _check_artifact(draft: VersionDraft, identity: str, manifest: Manifest) -> None:
    if (manifest.space_id, manifest.dimension) != (draft.space_id, draft.dimension):
        raise SpaceMismatch(f"The artifact {identity} belongs to another space than its version.")
    if manifest.lineage.source_digest != draft.source_digest:
        raise BadInput(f"The artifact {identity} was built from another source than its version.")
    require_word(manifest.variant, "variant")
    require_word(manifest.format, "format")
    require_integer(manifest.size_bytes, "artifact's size", high=MAX_BYTES)
    for provider in manifest.recipe.providers:
        require_word(provider, "recipe's provider")
    for entry in manifest.files:
        require_word(entry.role, "file's role")


def _check_records(draft: VersionDraft, manifests: Mapping[str, Manifest]) -> None:
    for evaluation in draft.evaluations:
        check_evaluation(evaluation)
        _require_artifact(manifests, evaluation.artifact_id)
    for pair in draft.pairs:
        check_evaluation(pair)
        towers = (
            _require_artifact(manifests, pair.vision_id).tower,
            _require_artifact(manifests, pair.text_id).tower,
        )
        if towers != ("vision", "text"):
            raise BadInput("A pair is a vision artifact and a text artifact, in this order.")
    for profile in draft.profiles:
        check_profile(profile)
        _require_artifact(manifests, profile.artifact_id)


def _require_artifact(manifests: Mapping[str, Manifest], identity: str) -> Manifest:
    if identity not in manifests:
        raise BadInput(f"A record speaks of {identity[:64]!r}, which the version doesn't hold.")
    return manifests[identity]
