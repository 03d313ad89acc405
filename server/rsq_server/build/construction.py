"""Steps 2 to 5 of publish: from a loaded checkpoint to artifacts on disk."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rsq.digest import digest_bytes
from rsq.encoder import ONNX_FORMAT
from rsq.errors import GateRefused
from rsq.manifest import TOWERS, Lineage, RecipeSpec, Tower, canonical_json
from rsq.torch_tower import TORCH_FORMAT
from rsq_server.build.artifact import REFERENCE_VARIANT, BuiltArtifact
from rsq_server.build.assembly import CheckpointFacts, assemble_artifact, read_tools
from rsq_server.build.calibration import CheckpointPreparer
from rsq_server.build.calibration_rows import CalibrationRows, read_calibration
from rsq_server.build.dual_encoder import DualEncoder
from rsq_server.build.export import check_export, export_tower
from rsq_server.build.findings import describe_search
from rsq_server.build.mixed import SearchResult
from rsq_server.build.probe import ProbeReference
from rsq_server.build.space import space_id
from rsq_server.build.tower_builder import TowerBuilder
from rsq_server.datasets.image_text_set import ImageTextSet
from rsq_server.details import BlockSensitivity, SearchTrial
from rsq_server.progress import Progress
from rsq_server.recipes import RECIPES, Recipe

_TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class Construction:
    """What step 5 made. `refusals` says by tower and variant why one could not be made;
    sensitivities and trials are those of searched variants."""

    artifacts: list[BuiltArtifact]
    refusals: dict[str, str]
    sensitivities: tuple[BlockSensitivity, ...]
    trials: tuple[SearchTrial, ...]


def export_towers(
    encoder: DualEncoder, work: Path, progress: Progress, recipes: Sequence[Recipe] = ()
) -> dict[str, RecipeSpec]:
    """Exports both towers below `work`, and as torch programs the variants that `recipes` make so;
    returns what the manifests of these say, by tower and variant."""
    programs = [recipe for recipe in recipes if recipe.activations == "torch"]
    specs: dict[str, RecipeSpec] = {}
    total = len(TOWERS) * (1 + len(programs))
    for tower in TOWERS:
        progress.advance(len(specs), total, tower)
        export_tower(encoder, tower, _export_folder(work, tower))
        for recipe in programs:
            from rsq_server.build.torch_native import export_torch_tower

            progress.advance(len(specs) + 1, total, f"{tower} {recipe.variant}")
            folder = _variant_folder(work, tower, recipe)
            specs[f"{tower} {recipe.variant}"] = export_torch_tower(encoder, tower, folder)
    return specs


def check_towers(encoder: DualEncoder, work: Path, progress: Progress) -> None:
    """Compares both exports with torch; raises as `check_export` does."""
    for done, tower in enumerate(TOWERS):
        progress.advance(done, len(TOWERS), tower)
        check_export(encoder, tower, _export_folder(work, tower))


def read_facts(encoder: DualEncoder, source_digest: str, work: Path) -> CheckpointFacts:
    """What later steps need of the checkpoint, its tokenizer copied to `work`, so that the encoder
    can be let go."""
    shutil.copyfile(encoder.tokenizer_json, work / _TOKENIZER)
    return CheckpointFacts(
        space_id=space_id(encoder),
        dimension=encoder.dimension,
        scoring=encoder.scoring,
        licence=encoder.licence,
        image=encoder.image,
        text=encoder.text_spec,
        lineage=Lineage(source_digest, None, read_tools()),
    )


def build_artifacts(
    recipes: Sequence[Recipe],
    facts: CheckpointFacts,
    calibration: ImageTextSet,
    work: Path,
    progress: Progress,
    *,
    programs: dict[str, RecipeSpec] | None = None,
    journals: Path | None = None,
) -> Construction:
    """Every variant of both towers, from the exports below `work`; the first recipe is FP32's.

    `programs` are what `export_towers` returned; below `journals` a search writes what it measured,
    so that publishing the same again goes on from there. Raises GateRefused as `assemble_artifact`
    does for FP32; any other variant that is refused is noted, and the rest is built.
    """
    rows: dict[Tower, CalibrationRows] = {}
    if any(recipe.calibrates for recipe in recipes):
        preparer = CheckpointPreparer(facts.image, facts.text, work / _TOKENIZER)
        exports: dict[Tower, Path] = {tower: _export_folder(work, tower) for tower in TOWERS}
        rows = read_calibration(calibration, preparer, exports)
    artifacts: list[BuiltArtifact] = []
    refusals: dict[str, str] = {}
    searches: dict[Tower, SearchResult] = {}
    steps = [(tower, recipe) for tower in TOWERS for recipe in recipes]
    for done, (tower, recipe) in enumerate(steps):
        name = f"{tower} {recipe.variant}"

        def advance(step: int, count: int, done: int = done, name: str = name) -> None:
            progress.advance(done, len(steps), f"{name}, {step} of {count}")

        progress.advance(done, len(steps), name)
        if recipe.variant == REFERENCE_VARIANT:
            builder = TowerBuilder(
                tower,
                _export_folder(work, tower),
                image_size=(facts.image.height, facts.image.width),
                calibration=rows.get(tower),
                journal_folder=_journal_folder(journals, facts, rows.get(tower)),
            )
            reference: ProbeReference | None = None
        folder = _variant_folder(work, tower, recipe)
        try:
            if recipe.activations == "torch":
                spec = (programs or {})[name]
            else:
                built = builder.build(recipe, folder, advance)
                spec = built.spec
                if built.search is not None:
                    searches[tower] = built.search
            if tower == "text":
                shutil.copyfile(work / _TOKENIZER, folder / _TOKENIZER)
            digest = rows[tower].digest if recipe.calibrates else None
            artifact, reference = assemble_artifact(
                folder,
                tower,
                recipe.variant,
                recipe=spec,
                batch_invariant=recipe.batch_invariant,
                facts=_with_calibration(facts, digest),
                reference=reference,
                format=TORCH_FORMAT if recipe.activations == "torch" else ONNX_FORMAT,
            )
        except GateRefused as e:
            if recipe.variant == REFERENCE_VARIANT:
                raise
            refusals[name] = " ".join([e.message, *_list_trials(e)])
        else:
            artifacts.append(artifact)
    return Construction(artifacts, refusals, *describe_search(searches))


def reference_recipe() -> Recipe:
    return RECIPES[REFERENCE_VARIANT]


def _with_calibration(facts: CheckpointFacts, digest: str | None) -> CheckpointFacts:
    lineage = dataclasses.replace(facts.lineage, calibration_digest=digest)
    return dataclasses.replace(facts, lineage=lineage)


def _list_trials(error: GateRefused) -> list[str]:
    return [f"{name}: {found}." for name, found in error.metadata.items()]


def _journal_folder(
    journals: Path | None, facts: CheckpointFacts, rows: CalibrationRows | None
) -> Path | None:
    """Of searches that would measure the same: same weights, same calibration, same tools."""
    if journals is None or rows is None:
        return None
    key = [facts.space_id, facts.lineage.source_digest, rows.digest, facts.lineage.tools]
    return journals / digest_bytes(canonical_json(key))


def _export_folder(work: Path, tower: Tower) -> Path:
    return work / f"{tower}-export"


def _variant_folder(work: Path, tower: Tower, recipe: Recipe) -> Path:
    return work / f"{tower}-{recipe.variant}"
