# ruff: noqa: RUF001 - the page writes typographic signs
from __future__ import annotations

from dataclasses import replace

from report_samples import make_manifests, make_version

from rsq.manifest import ScoringSpec
from rsq_server.report_page.lineage import ArtifactLineage, show_lineage
from rsq_server.report_page.variants import colour_variants

VERSION = make_version()
MANIFESTS = make_manifests(VERSION)
COLOURS = colour_variants(row.variant for row in VERSION.artifacts)


def facts_of(lineage: ArtifactLineage) -> dict[str, str]:
    return {fact.name: fact.value for fact in lineage.facts}


def test_the_lineage_holds_all_that_the_manifest_says() -> None:
    found = show_lineage(VERSION.artifacts, MANIFESTS, COLOURS)
    assert [artifact.id for artifact in found] == [row.id for row in VERSION.artifacts]
    vision, text = facts_of(found[0]), facts_of(found[3])
    assert vision["artifact"] == VERSION.artifacts[0].id
    assert (vision["source"], vision["calibration"]) == ("c" * 64, "b" * 64)
    assert vision["recipe"] == "per-token-dynamic"
    assert vision["kept"] == "head, layers.3"
    assert vision["providers"] == "CPUExecutionProvider, CUDAExecutionProvider"
    assert vision["tools"] == "onnx 1.23.0, torch 2.13.0"
    assert "0.9975" in vision["golden probe"]
    assert "0.985" in vision["golden probe"]
    assert vision["scoring"] == "sigmoid of 112.5 × cosine − 16.25"
    assert vision["image input"].startswith("256 × 256 pixels, bicubic")
    assert text["text input"] == "64 tokens, always padded, in lower case"
    assert "image input" not in text


def test_files_have_their_sizes_and_digests() -> None:
    (row,) = show_lineage(VERSION.artifacts[:1], MANIFESTS, COLOURS)[0].files.rows
    assert row.head == "model.onnx.data"
    assert [cell.text for cell in row.cells] == ["weights", "5 kB", "2", "a" * 64]


def test_measurements_of_nodes_are_shown_beside_the_publishers() -> None:
    artifact = VERSION.artifacts[0]
    node = replace(artifact.profiles[0], source="node:7", device="cuda:NVIDIA H100")
    row = replace(artifact, profiles=(*artifact.profiles, node))
    profiles = show_lineage([row], MANIFESTS, COLOURS)[0].profiles
    assert profiles is not None
    assert [r.head for r in profiles.rows] == ["publisher", "publisher", "node:7"]
    assert profiles.rows[2].cells[0].text == "cuda:NVIDIA H100"
    assert show_lineage([replace(row, profiles=())], MANIFESTS, COLOURS)[0].profiles is None


def test_parameters_of_any_shape_and_what_is_missing_are_told() -> None:
    identity = VERSION.artifacts[0].id
    manifest = MANIFESTS[identity]
    manifest = replace(
        manifest,
        licence="",
        scoring=ScoringSpec("softmax", 100.0),
        lineage=replace(manifest.lineage, calibration_digest=None),
        recipe=replace(manifest.recipe, parameters={"alpha": 0.5, "per": {"b": 1}, "kept": []}),
        image=manifest.image and replace(manifest.image, shortest_edge=224),
    )
    row = replace(VERSION.artifacts[0], batch_invariant=False)
    facts = facts_of(show_lineage([row], {identity: manifest}, COLOURS)[0])
    assert (facts["alpha"], facts["per"], facts["kept"]) == ("0.5", '{"b":1}', "none")
    assert (facts["calibration"], facts["licence"]) == ("none", "not stated")
    assert facts["scoring"] == "softmax of 100 × cosine"
    assert facts["alone and in a batch"] == "not the same"
    assert facts["image input"].startswith("shorter edge to 224, centre 256 × 256")
