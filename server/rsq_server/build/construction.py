"""Steps 2 to 5 of publish: from a loaded checkpoint to artifacts on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

from rsq.manifest import TOWERS, Lineage, Tower
from rsq_server.build.artifact import BuiltArtifact
from rsq_server.build.assembly import CheckpointFacts, assemble_artifact, read_tools
from rsq_server.build.dual_encoder import DualEncoder
from rsq_server.build.export import check_export, export_tower
from rsq_server.build.quantize import batch_invariant, build_variant
from rsq_server.build.space import space_id
from rsq_server.progress import Progress

_TOKENIZER = "tokenizer.json"


def export_towers(encoder: DualEncoder, work: Path, progress: Progress) -> None:
    """Exports both towers below `work`."""
    for done, tower in enumerate(TOWERS):
        progress.advance(done, len(TOWERS), tower)
        export_tower(encoder, tower, _export_folder(work, tower))


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
    variants: list[str], facts: CheckpointFacts, work: Path, progress: Progress
) -> list[BuiltArtifact]:
    """Every variant of both towers, from the exports below `work`; the first of `variants` is FP32.

    Raises GateRefused as `assemble_artifact` does.
    """
    artifacts: list[BuiltArtifact] = []
    for tower in TOWERS:
        reference = None
        for variant in variants:
            total = len(TOWERS) * len(variants)
            progress.advance(len(artifacts), total, f"{tower} {variant}")
            folder = work / f"{tower}-{variant}"
            recipe = build_variant(variant, _export_folder(work, tower), folder, tower)
            if tower == "text":
                shutil.copyfile(work / _TOKENIZER, folder / _TOKENIZER)
            artifact, reference = assemble_artifact(
                folder,
                tower,
                variant,
                recipe=recipe,
                batch_invariant=batch_invariant(variant),
                facts=facts,
                reference=reference,
            )
            artifacts.append(artifact)
    return artifacts


def _export_folder(work: Path, tower: Tower) -> Path:
    return work / f"{tower}-export"
