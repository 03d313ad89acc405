"""From a variant's files to an artifact: golden probe, manifest, id."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import rsq
from rsq.chunks import describe_file
from rsq.encoder import ONNX_FORMAT
from rsq.manifest import (
    FileEntry,
    ImageSpec,
    Lineage,
    Manifest,
    ProbeSpec,
    RecipeSpec,
    ScoringSpec,
    TextSpec,
    Tower,
    encode_manifest,
)
from rsq.onnx_session import import_onnxruntime
from rsq.probe import encode_probe
from rsq.torch_tower import PROGRAM_NAME, TORCH_FORMAT
from rsq_server.build.artifact import MANIFEST_NAME, BuiltArtifact
from rsq_server.build.probe import ProbeReference, prepare_reference, record_probe

# By format, in the order in which a manifest lists them. A small graph may hold its weights itself,
# and a torch program always does.
_TOKENIZER = ("tokenizer", "tokenizer.json")
_FILES = {
    ONNX_FORMAT: (("graph", "model.onnx"), ("weights", "model.onnx.data"), _TOKENIZER),
    TORCH_FORMAT: (("graph", PROGRAM_NAME), _TOKENIZER),
}
_PROBE = ("probe", "probe.json")
_TOOLS = ("rsq-server", "torch", "transformers", "onnx", "onnxscript", "onnxruntime")
# What a format's bytes depend on beside these.
_MORE_TOOLS = {ONNX_FORMAT: (), TORCH_FORMAT: ("torchao",)}

# Before the probe is recorded nothing can be held against it.
_NO_TOLERANCE = ProbeSpec(own_cosine_min=-1.0, fp32_cosine_min=-1.0)


@dataclass(frozen=True)
class CheckpointFacts:
    """What manifests say of the checkpoint, kept when its weights are let go."""

    space_id: str
    dimension: int
    scoring: ScoringSpec
    licence: str
    image: ImageSpec
    text: TextSpec
    lineage: Lineage


def read_tools() -> dict[str, str]:
    """The versions of what an artifact's bytes depend on. ONNX Runtime comes in several flavours,
    and rsq may run from its folder, so these two say themselves what they are."""
    known = {"rsq-server": rsq.__version__, "onnxruntime": import_onnxruntime().__version__}
    return {name: known.get(name) or version(name) for name in _TOOLS}


def assemble_artifact(
    folder: Path,
    tower: Tower,
    variant: str,
    *,
    recipe: RecipeSpec,
    batch_invariant: bool,
    facts: CheckpointFacts,
    reference: ProbeReference | None,
    format: str = ONNX_FORMAT,
) -> tuple[BuiltArtifact, ProbeReference]:
    """The artifact of `format` whose graph, weights and tokenizer lie in `folder`; writes
    `probe.json` and `manifest.json` beside them.

    `reference` is None for the FP32 artifact, which makes it. Raises GateRefused as
    `prepare_reference` and `record_probe` do.
    """
    manifest = Manifest(
        tower=tower,
        variant=variant,
        format=format,
        space_id=facts.space_id,
        dimension=facts.dimension,
        batch_invariant=batch_invariant,
        scoring=facts.scoring,
        recipe=recipe,
        lineage=_add_tools(facts.lineage, format),
        licence=facts.licence,
        probe=_NO_TOLERANCE,
        files=_describe(folder, format),
        image=facts.image if tower == "vision" else None,
        text=facts.text if tower == "text" else None,
    )
    draft = BuiltArtifact(folder, manifest)
    if reference is None:
        reference = prepare_reference(draft)
    probe, tolerances = record_probe(draft, reference)
    role, name = _PROBE
    (folder / name).write_bytes(encode_probe(probe))
    manifest = dataclasses.replace(
        manifest,
        probe=tolerances,
        files=(*manifest.files, describe_file(folder / name, role=role, name=name)),
    )
    (folder / MANIFEST_NAME).write_bytes(encode_manifest(manifest))
    return BuiltArtifact(folder, manifest), reference


def _add_tools(lineage: Lineage, format: str) -> Lineage:
    more = {name: version(name) for name in _MORE_TOOLS[format]}
    return dataclasses.replace(lineage, tools={**lineage.tools, **more})


def _describe(folder: Path, format: str) -> tuple[FileEntry, ...]:
    return tuple(
        describe_file(folder / name, role=role, name=name)
        for role, name in _FILES[format]
        if (folder / name).is_file()
    )
