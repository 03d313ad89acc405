"""Publish: from a checkpoint to an immutable version with measured artifacts."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from rsq.digest import digest_bytes
from rsq.durable import DISK_FULL
from rsq.errors import BadInput, EnvironmentFault, Exhausted, GateRefused, Interrupted
from rsq.manifest import encode_manifest
from rsq.records import ArtifactEvaluation, ArtifactRow, PairEvaluation, Profile, VersionRow
from rsq.reference import require_alias, require_model_name
from rsq_registry.drafts import VersionDraft
from rsq_registry.leases import PUBLISHING_SECONDS
from rsq_server.build.artifact import BuiltArtifact, reference_of
from rsq_server.build.calibration import compare_looks
from rsq_server.build.construction import (
    build_artifacts,
    check_towers,
    export_towers,
    read_facts,
    reference_recipe,
)
from rsq_server.build.evaluate import Evaluation, evaluate
from rsq_server.build.load import load_encoder
from rsq_server.build.profile import DEFAULT_BATCHES, profile_artifact
from rsq_server.build.workers import available_workers
from rsq_server.datasets.generated import generated_set
from rsq_server.datasets.image_text_set import EVALUATION_SPLIT, ImageTextSet
from rsq_server.datasets.loading import load_calibration_set, load_image_text_set
from rsq_server.details import encode_details
from rsq_server.gates import FIXED_GATES, Gates, apply_gates
from rsq_server.progress import Progress
from rsq_server.recipes import DEFAULT_VARIANTS, RECIPES, Recipe, check_recipe
from rsq_server.sources.signature import check_signature
from rsq_server.sources.source import resolve_source

# Generated scenes a class: many for a quick model, few for one where each costs a second.
GENERATED_PER_CLASS = 30
GENERATED_PER_CLASS_LARGE = 10
LARGE_BYTES = 100_000_000  # a vision tower in FP32


@dataclass(frozen=True)
class PublishRequest:
    """`source` as `resolve_source` takes it; `calibration` and `evaluation` are what
    `load_image_text_set` reads, generated scenes where None; `batches` are profiled; `work_folder`
    is where the temporary folder is made, on a disk with room for about four times the model;
    below `journal_folder` a search keeps what it measured, for the next try; `source_key` is the
    public key that must have signed the source."""

    source: str
    name: str
    work_folder: Path
    recipes: tuple[Recipe, ...] = tuple(RECIPES[variant] for variant in DEFAULT_VARIANTS)
    calibration: Path | None = None
    evaluation: Path | None = None
    alias: str | None = None
    batches: tuple[int, ...] = DEFAULT_BATCHES
    gates: Gates = FIXED_GATES
    keep_rejected: bool = False
    journal_folder: Path | None = None
    source_key: Path | None = None


@dataclass(frozen=True)
class PublishResult:
    """The new version, and how many bytes of its files were new to the store or already there.
    `refused` says by tower and variant why an artifact was refused, `notes` what else the publisher
    should know."""

    version: VersionRow
    stored_bytes: int
    reused_bytes: int
    refused: dict[str, str]
    notes: tuple[str, ...]


class Versions(Protocol):
    """Where versions go: a catalogue, or `rsq_server.remote.RemoteRegistry`."""

    def lease(self, digests: Collection[str], *, seconds: float) -> None:
        """Keeps blobs from garbage collection."""
        ...

    def add_version(self, draft: VersionDraft) -> VersionRow:
        """All or nothing; raises what `Catalogue.add_version` raises."""
        ...


class Files(Protocol):
    """Where their files go: blobs, or `rsq_server.remote.RemoteRegistry`."""

    def has(self, digest: str) -> bool: ...

    def put_file(self, path: Path, *, expected: str | None = None) -> str: ...

    def put_bytes(self, data: bytes, *, expected: str | None = None) -> str: ...


def publish(
    request: PublishRequest, *, catalogue: Versions, blobs: Files, progress: Progress
) -> PublishResult:
    """Makes the next version of `request.name`, in the steps that `progress` names:

    1. resolve the source, digest it, and read the data sets; 2. load the weights in FP32; 3. export
    each tower; 4. check the exports against torch; 5. build the variants with their golden probes;
    6. evaluate each against FP32; 7. profile each in fresh processes; 8. apply the gates; 9. write
    the blobs, then the manifests, then the version row in one transaction.

    FP32 is always built, as the reference, and stored where it was asked for. What a gate refuses
    is reported and not stored, unless the request keeps it. A failure at any step leaves no
    version, and the temporary folder is removed on every way out.

    Raises BadInput and BadSource for what the user gave, the hubs' errors, GateRefused where
    nothing is left to publish (its metadata has each artifact's verdict), Exhausted for a full
    disk, Interrupted on Ctrl-C.
    """
    recipes = _check_request(request)
    with _temporary_folder(request.work_folder) as work:
        # 1. resolve the source
        progress.start_step(1, "Resolve the source")
        source = resolve_source(
            request.source,
            work_folder=work,
            progress=lambda done, total: progress.advance(done, total, "bytes"),
        )
        signature = check_signature(source.folder, request.source_key)
        calibration, dataset = _read_sets(request)

        # 2. load the weights
        progress.start_step(2, "Load the weights")
        encoder = load_encoder(source.folder, work_folder=work)

        # 3. export each tower
        progress.start_step(3, "Export the towers")
        programs = export_towers(encoder, work, progress, recipes)

        # 4. check the exports against torch
        progress.start_step(4, "Check the exports against torch")
        check_towers(encoder, work, progress)
        facts = read_facts(encoder, source.digest, work)
        # The torch model is the largest thing in memory, and variants are built from files.
        del encoder
        gc.collect()

        # 5. build the variants
        progress.start_step(5, "Build the variants")
        construction = build_artifacts(
            recipes,
            facts,
            calibration,
            work,
            progress,
            programs=programs,
            journals=request.journal_folder,
        )
        artifacts = construction.artifacts

        # 6. evaluate
        progress.start_step(6, "Evaluate against FP32")
        dataset = dataset or generated_set("evaluation", per_class=_generated_per_class(artifacts))
        evaluation = evaluate(
            artifacts,
            dataset,
            workers=available_workers(),
            advance=lambda done, total: progress.advance(done, total, "images and texts"),
        )

        # 7. profile
        progress.start_step(7, "Profile in fresh processes")
        profiles = _profile(artifacts, request.batches, progress)

        # 8. gates
        progress.start_step(8, "Apply the gates")
        kept, refused = _apply_gates(request, artifacts, evaluation, dataset, profiles)
        refused = {**construction.refusals, **refused}
        if not kept:
            listed = "; ".join(f"{name} ({reason})" for name, reason in refused.items())
            raise GateRefused(f"Nothing was published, because of {listed}", metadata=refused)
        evaluations, pairs = _to_records(kept, evaluation, dataset)

        # 9. write
        progress.start_step(9, "Store the version")
        notes = _compare_sets(artifacts, calibration, dataset, recipes)
        if signature is not None:
            notes = (*notes, signature)
        details = replace(
            evaluation.details,
            sensitivities=construction.sensitivities,
            trials=construction.trials,
            notes=(*notes, *(f"Refused: {name}: {reason}" for name, reason in refused.items())),
        )
        report = encode_details(details)
        _lease(kept, digest_bytes(report), catalogue)
        stored_bytes, reused_bytes = _store_files(kept, blobs, progress)
        ids = {artifact.id for artifact in kept}
        version = catalogue.add_version(
            VersionDraft(
                model=request.name,
                space_id=facts.space_id,
                dimension=facts.dimension,
                licence=facts.licence,
                source=source.description,
                source_digest=source.digest,
                artifacts=tuple(encode_manifest(artifact.manifest) for artifact in kept),
                evaluations=evaluations,
                pairs=pairs,
                profiles=tuple(profile for profile in profiles if profile.artifact_id in ids),
                alias=request.alias,
                details_digest=blobs.put_bytes(report),
            )
        )
        return PublishResult(version, stored_bytes, reused_bytes, refused, notes)


def _check_request(request: PublishRequest) -> list[Recipe]:
    """The recipes to build, FP32's first. Everything that needs no work is checked before any."""
    require_model_name(request.name)
    if request.alias is not None:
        require_alias(request.alias)
    if not request.recipes:
        raise BadInput(f"No variants were asked for; rsq builds {', '.join(RECIPES)}.")
    if not request.batches or min(request.batches) < 1:
        raise BadInput("Profiles need at least one batch size, of 1 or more.")
    for recipe in request.recipes:
        check_recipe(recipe)
    by_variant = {recipe.variant: recipe for recipe in (reference_recipe(), *request.recipes)}
    return list(by_variant.values())


@contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="publish-", dir=parent) as name:
            yield Path(name)
    except KeyboardInterrupt as e:
        raise Interrupted("Publishing was interrupted; nothing was published.") from e
    except OSError as e:
        if e.errno in DISK_FULL:
            raise Exhausted(f"The disk that holds {parent} is full.") from e
        raise EnvironmentFault(f"Publishing could not use a file: {e}.") from e
    except MemoryError as e:
        raise Exhausted("This machine has too little memory to publish the model.") from e


def _read_sets(request: PublishRequest) -> tuple[ImageTextSet, ImageTextSet | None]:
    """The calibration set, and the evaluation set where the user named one."""
    calibration = (
        generated_set("calibration", per_class=GENERATED_PER_CLASS)
        if request.calibration is None
        else load_calibration_set(request.calibration)
    )
    if request.evaluation is None:
        return calibration, None
    return calibration, load_image_text_set(request.evaluation, split=EVALUATION_SPLIT)


def _apply_gates(
    request: PublishRequest,
    artifacts: list[BuiltArtifact],
    evaluation: Evaluation,
    dataset: ImageTextSet,
    profiles: tuple[Profile, ...],
) -> tuple[list[BuiltArtifact], dict[str, str]]:
    """The artifacts to store, and by tower and variant why others were refused. FP32 is judged by
    and with the others, and stored where it was asked for."""
    asked = {recipe.variant for recipe in request.recipes}
    evaluations, _ = _to_records(artifacts, evaluation, dataset)
    rows = [_to_row(artifact, evaluations, profiles) for artifact in artifacts]
    verdicts = apply_gates(rows, request.gates, keep_rejected=request.keep_rejected)
    refused = {str(a): verdicts[a.id].reason for a in artifacts if verdicts[a.id].is_refused}
    kept = [
        artifact
        for artifact in artifacts
        if artifact.variant in asked and (request.keep_rejected or str(artifact) not in refused)
    ]
    return kept, refused


def _compare_sets(
    artifacts: list[BuiltArtifact],
    calibration: ImageTextSet,
    dataset: ImageTextSet,
    recipes: list[Recipe],
) -> tuple[str, ...]:
    """A warning where variants were calibrated on images unlike those they were evaluated on."""
    if not any(recipe.calibrates for recipe in recipes):
        return ()
    encoder = reference_of(artifacts, "vision").open(threads=available_workers())
    warning = compare_looks(encoder, calibration, dataset)
    return () if warning is None else (warning,)


def _profile(
    artifacts: list[BuiltArtifact], batches: tuple[int, ...], progress: Progress
) -> tuple[Profile, ...]:
    profiles: list[Profile] = []
    for done, artifact in enumerate(artifacts):
        progress.advance(done, len(artifacts), str(artifact))
        profiles += profile_artifact(artifact, batches=batches, threads=available_workers())
    return tuple(profiles)


def _to_records(
    artifacts: list[BuiltArtifact], evaluation: Evaluation, dataset: ImageTextSet
) -> tuple[tuple[ArtifactEvaluation, ...], tuple[PairEvaluation, ...]]:
    """The records of the artifacts that are kept."""
    ids = {artifact.id for artifact in artifacts}
    return (
        tuple(
            ArtifactEvaluation(identity, dataset.name, dataset.digest, metrics)
            for identity, metrics in evaluation.artifacts.items()
            if identity in ids
        ),
        tuple(
            PairEvaluation(vision, text, dataset.name, dataset.digest, metrics)
            for (vision, text), metrics in evaluation.pairs.items()
            if vision in ids and text in ids
        ),
    )


def _to_row(
    artifact: BuiltArtifact,
    evaluations: tuple[ArtifactEvaluation, ...],
    profiles: tuple[Profile, ...],
) -> ArtifactRow:
    manifest = artifact.manifest
    return ArtifactRow(
        id=artifact.id,
        tower=artifact.tower,
        variant=artifact.variant,
        size_bytes=manifest.size_bytes,
        providers=manifest.recipe.providers,
        batch_invariant=manifest.batch_invariant,
        evaluation=next((e for e in evaluations if e.artifact_id == artifact.id), None),
        profiles=tuple(p for p in profiles if p.artifact_id == artifact.id),
    )


def _lease(artifacts: list[BuiltArtifact], report_digest: str, catalogue: Versions) -> None:
    """Keeps what is going to be named from garbage collection, before anyone asks what is there."""
    digests = {entry.sha256 for artifact in artifacts for entry in artifact.manifest.files}
    digests |= {artifact.id for artifact in artifacts} | {report_digest}
    catalogue.lease(digests, seconds=PUBLISHING_SECONDS)


def _store_files(
    artifacts: list[BuiltArtifact], blobs: Files, progress: Progress
) -> tuple[int, int]:
    """(bytes stored, bytes that were already there), each blob counted once."""
    entries = {
        entry.sha256: (artifact.folder / entry.name, entry.size_bytes)
        for artifact in artifacts
        for entry in artifact.manifest.files
    }
    total = sum(size_bytes for _, size_bytes in entries.values())
    stored = reused = 0
    for digest, (path, size_bytes) in entries.items():
        progress.advance(stored + reused, total, "bytes")
        if blobs.has(digest):
            reused += size_bytes
        else:
            blobs.put_file(path, expected=digest)
            stored += size_bytes
    return stored, reused


def _generated_per_class(artifacts: list[BuiltArtifact]) -> int:
    largest = max(artifact.manifest.size_bytes for artifact in artifacts)
    return GENERATED_PER_CLASS_LARGE if largest > LARGE_BYTES else GENERATED_PER_CLASS
