"""Publish end to end on a tiny checkpoint: real export, real ONNX Runtime, a real registry."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import write_siglip_checkpoint
from PIL import Image
from tiny_checkpoints import write_clip

from rsq.encoder import Encoder
from rsq.errors import (
    BadInput,
    BadSource,
    EnvironmentFault,
    Exhausted,
    Interrupted,
    NotFound,
    RsqError,
)
from rsq.manifest import decode_manifest, encode_manifest
from rsq.probe import decode_probe, judge, replay
from rsq_registry.blobs import BlobStore
from rsq_registry.catalogue import Catalogue
from rsq_registry.database import open_database
from rsq_server.progress import SilentProgress
from rsq_server.publish import PublishRequest, PublishResult, publish
from rsq_server.recipes import RECIPES, find_recipes
from rsq_server.report import version_table_rows, version_to_json

VARIANTS = ("fp32", "fp16", "int8")
STEPS = range(1, 10)


class Recorder(SilentProgress):
    """Remembers the steps, and fails at the beginning of one when told to."""

    def __init__(self, fail_at: int = 0, error: BaseException | None = None) -> None:
        self.steps: list[int] = []
        self._fail_at = fail_at
        self._error = error

    def start_step(self, number: int, title: str) -> None:
        self.steps.append(number)
        if number == self._fail_at and self._error is not None:
            raise self._error


@dataclass
class World:
    """A registry in a folder of its own, and the checkpoint to publish into it."""

    folder: Path
    checkpoint: Path
    catalogue: Catalogue
    blobs: BlobStore

    def request(self, variants: tuple[str, ...] = VARIANTS, **fields: Any) -> PublishRequest:
        return PublishRequest(
            **{
                "source": str(self.checkpoint),
                "name": "tiny",
                "work_folder": self.folder / "work",
                "recipes": tuple(find_recipes(variants, RECIPES)),
                "batches": (1,),
                **fields,
            }
        )

    def publish(self, progress: Recorder | None = None, **fields: Any) -> PublishResult:
        return publish(
            self.request(**fields),
            catalogue=self.catalogue,
            blobs=self.blobs,
            progress=progress or Recorder(),
        )

    def assert_nothing_left(self) -> None:
        """No version, and nothing temporary."""
        with pytest.raises(NotFound):
            self.catalogue.resolve_reference("tiny")
        work = self.folder / "work"
        assert not work.exists() or not list(work.iterdir())


def _open_world(folder: Path, checkpoint: Path) -> Iterator[World]:
    engine = open_database(folder / "registry.db")
    blobs = BlobStore(folder / "blobs")
    yield World(folder, checkpoint, Catalogue(engine, blobs), blobs)
    engine.dispose()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_siglip_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny-siglip")


@pytest.fixture
def world(tmp_path: Path, checkpoint: Path) -> Iterator[World]:
    yield from _open_world(tmp_path, checkpoint)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Iterator[World]:
    """A world for tests that only read the version of `published`."""
    yield from _open_world(tmp_path_factory.mktemp("shared"), checkpoint)


@pytest.fixture(scope="module")
def published(shared: World) -> PublishResult:
    return shared.publish(alias="production", batches=(1, 3))


def test_a_version_holds_every_variant_of_both_towers_with_its_records(
    shared: World, published: PublishResult
) -> None:
    version = published.version
    assert (version.model, version.version, version.aliases) == ("tiny", 1, ("production",))
    assert version.licence == "apache-2.0"
    assert {(a.tower, a.variant) for a in version.artifacts} == {
        (tower, variant) for tower in ("vision", "text") for variant in VARIANTS
    }
    assert len(version.pairs) == 9
    for artifact in version.artifacts:
        assert artifact.evaluation is not None
        assert artifact.evaluation.dataset.startswith("generated-scenes-evaluation")
        assert {p.batch for p in artifact.profiles} == {1, 3}
        assert artifact.evaluation.metrics["cosine_mean"] > 0.99
    found = shared.catalogue.resolve_reference("tiny")
    assert [a.id for a in found.artifacts] == [a.id for a in version.artifacts]


def test_what_is_stored_can_be_fetched_and_passes_its_probe(
    shared: World, published: PublishResult, tmp_path: Path
) -> None:
    for row in published.version.artifacts:
        data = shared.catalogue.artifact_manifest(row.id)
        manifest = decode_manifest(data)
        assert encode_manifest(manifest) == data
        folder = tmp_path / row.id
        folder.mkdir()
        for entry in manifest.files:
            (folder / entry.name).write_bytes(shared.blobs.read(entry.sha256, 0, entry.size_bytes))
        roles = {entry.role for entry in manifest.files}
        assert {"graph", "probe"} <= roles
        assert ("tokenizer" in roles) == (row.tower == "text")
        probe = decode_probe((folder / manifest.file("probe").name).read_bytes())
        judge(replay(Encoder(folder, manifest, threads=2), probe), manifest.probe)


def test_manifests_name_no_path_model_or_source(shared: World, published: PublishResult) -> None:
    for row in published.version.artifacts:
        manifest = json.loads(shared.catalogue.artifact_manifest(row.id))
        strings = _strings(manifest)
        assert row.variant in strings
        assert not [text for text in strings if "tiny" in text or "/" in text]


def _strings(value: Any) -> list[str]:
    """Every string of a JSON value except digests."""
    if isinstance(value, dict):
        return [s for key, item in value.items() if key != "chunks" for s in _strings(item)]
    if isinstance(value, list):
        return [s for item in value for s in _strings(item)]
    return [value] if isinstance(value, str) and len(value) != 64 else []


def test_publishing_again_gives_the_same_ids_and_reuses_every_blob(
    shared: World, published: PublishResult, checkpoint: Path
) -> None:
    # From another folder and with another alias: neither is part of what an artifact is.
    copy = shutil.copytree(checkpoint, shared.folder / "elsewhere")
    second = shared.publish(source=str(copy), alias="staging")
    assert [a.id for a in second.version.artifacts] == [a.id for a in published.version.artifacts]
    assert (published.version.version, second.version.version) == (1, 2)
    assert (published.reused_bytes, second.stored_bytes) == (0, 0)
    assert second.reused_bytes == published.stored_bytes
    assert shared.catalogue.resolve_reference("tiny").version == 1  # its alias did not move


def test_fp32_is_always_the_reference_and_stored_where_asked_for(
    world: World,
) -> None:
    progress = Recorder()
    version = world.publish(progress, variants=("int8",)).version
    assert progress.steps == list(STEPS)
    assert {a.variant for a in version.artifacts} == {"int8"}
    assert [(p.vision_id, p.text_id) for p in version.pairs] == [
        (version.artifacts[0].id, version.artifacts[1].id)
    ]
    evaluation = version.artifacts[0].evaluation
    assert evaluation is not None
    assert evaluation.metrics["cosine_mean"] < 1 - 1e-7


def test_the_table_and_the_json_are_of_one_version(published: PublishResult) -> None:
    found = version_to_json(published.version)
    rows = version_table_rows(published.version)
    assert [(r["tower"], r["variant"]) for r in rows] == [
        (a["tower"], a["variant"]) for a in found["artifacts"]
    ]
    assert {r["verdict"] for r in rows} == {"reference", "ok", "unmeasured"}
    for row, artifact in zip(rows, found["artifacts"], strict=True):
        assert row["top-1 match"] == f"{artifact['evaluation']['top1_match']:.1%}"
    json.dumps(found, allow_nan=False)


def _write_set(folder: Path) -> Path:
    lines = []
    folder.mkdir(parents=True)
    for index, split in enumerate(("test",) * 3 + ("calibration",) * 8):
        pixels = np.random.default_rng(index).integers(0, 256, (20, 24, 3), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG")
        (folder / f"{index}.jpg").write_bytes(buffer.getvalue())
        fields = {"image": f"{index}.jpg", "split": split, "label": f"L{index % 2}"}
        lines.append(json.dumps({**fields, "captions": [f"scene number {index}"]}))
    (folder / "captions.jsonl").write_text("\n".join(lines))
    return folder


def test_a_users_set_is_evaluated_whole_and_by_its_test_split_only(world: World) -> None:
    folder = _write_set(world.folder / "my-scenes")
    version = world.publish(variants=("fp32",), evaluation=folder, calibration=folder).version
    evaluation = version.artifacts[0].evaluation
    assert evaluation is not None
    assert evaluation.dataset == "my-scenes"
    assert evaluation.metrics["recall_at_5"] == 1.0  # three images
    assert evaluation.metrics["top1_match"] == 1.0


@pytest.mark.parametrize("step", [1, 3, 5, 7, 9])
def test_a_failure_in_the_middle_leaves_no_version_and_no_file(world: World, step: int) -> None:
    full = OSError(28, "No space left on device")
    with pytest.raises(Exhausted, match="is full"):
        world.publish(Recorder(step, full), variants=("fp32",))
    world.assert_nothing_left()
    assert not world.catalogue.referenced_digests()


def test_ctrl_c_says_so_and_leaves_nothing(world: World) -> None:
    with pytest.raises(Interrupted, match="nothing was published"):
        world.publish(Recorder(3, KeyboardInterrupt()), variants=("fp32",))
    world.assert_nothing_left()


def test_a_crash_between_blobs_and_row_leaves_only_unreferenced_blobs(world: World) -> None:
    class Failing(Catalogue):
        def add_version(self, draft: object) -> Any:
            raise EnvironmentFault("The database went away.")

    failing = Failing(world.catalogue._engine, world.blobs)
    broken = dataclasses.replace(world, catalogue=failing)
    with pytest.raises(EnvironmentFault, match="went away"):
        broken.publish(variants=("fp32",))
    world.assert_nothing_left()
    assert list(world.blobs.digests())
    assert not world.catalogue.referenced_digests()


@pytest.mark.parametrize(
    ("fields", "kind", "sentence"),
    [
        ({"name": "../x"}, BadInput, "not a model name"),
        ({"alias": "1"}, BadInput, "not an alias"),
        ({"variants": ("fp32", "int3")}, BadInput, "Unknown variant 'int3'; rsq builds fp32"),
        ({"variants": ()}, BadInput, "No variants"),
        ({"batches": ()}, BadInput, "batch"),
        ({"batches": (0,)}, BadInput, "batch"),
        ({"source": "/no/such/folder"}, BadSource, "There is no folder"),
        ({"source": "hf:../x"}, BadInput, "hf:ORG/NAME"),
        ({"evaluation": Path("/no/such/folder")}, BadSource, "not a folder"),
        ({"calibration": Path("/no/such/folder")}, BadSource, "not a folder"),
    ],
)
def test_bad_input_is_refused_before_any_work(
    world: World, fields: dict[str, Any], kind: type[RsqError], sentence: str
) -> None:
    progress = Recorder()
    with pytest.raises(kind, match=sentence):
        world.publish(progress, **fields)
    assert progress.steps in ([], [1])
    world.assert_nothing_left()


def test_a_checkpoint_without_weights_is_refused(world: World) -> None:
    bare = shutil.copytree(world.checkpoint, world.folder / "bare")
    (bare / "model.safetensors").unlink()
    with pytest.raises(BadSource):
        world.publish(source=str(bare))
    world.assert_nothing_left()


def test_a_clip_checkpoint_is_published_with_softmax_scoring_and_its_own_preprocessing(
    tmp_path: Path,
) -> None:
    source = write_clip(tmp_path / "tiny-clip")
    for world in _open_world(tmp_path, source):
        version = world.publish(variants=("fp32", "int8")).version
        assert {(row.tower, row.variant) for row in version.artifacts} == {
            (tower, variant) for tower in ("vision", "text") for variant in ("fp32", "int8")
        }
        for row in version.artifacts:
            manifest = decode_manifest(world.catalogue.artifact_manifest(row.id))
            assert manifest.scoring.kind == "softmax"
            if manifest.image is not None:
                assert manifest.image.shortest_edge is not None
            if manifest.text is not None:
                assert manifest.text.bos_id is not None
