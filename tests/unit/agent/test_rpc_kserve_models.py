"""rsq_agent.rpc.kserve_models: names, tensors and what is told of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_artifacts import DIMENSION, SIZE, build_artifact

from rsq.errors import NotFound
from rsq.kserve import inference_pb2 as pb
from rsq.manifest import Manifest, Tower
from rsq_agent.rpc.kserve_models import (
    Kind,
    config_to_pb,
    input_of,
    metadata_to_pb,
    output_of,
    split_name,
)


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> dict[Tower, Manifest]:
    folder: Path = tmp_path_factory.mktemp("artifacts")
    towers: tuple[Tower, ...] = ("vision", "text")
    return {tower: build_artifact(folder / tower, tower).manifest for tower in towers}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tiny-vision", ("tiny", "vision")),
        ("git-rsclip-base-text", ("git-rsclip-base", "text")),
        ("text-image-image", ("text-image", "image")),
    ],
)
def test_a_name_ends_in_the_kind_of_input(name: str, expected: tuple[str, Kind]) -> None:
    assert split_name(name) == expected


@pytest.mark.parametrize("name", ["", "text", "-text", "tiny", "tiny-audio", "tiny-Text", "tiny-"])
def test_other_names_are_not_found(name: str) -> None:
    with pytest.raises(NotFound, match="NAME-vision, NAME-image and NAME-text"):
        split_name(name)


def test_endless_names_are_not_found_and_not_repeated() -> None:
    with pytest.raises(NotFound) as caught:
        split_name("x" * 100_000 + "-text")
    assert len(caught.value.message) < 300


def test_each_kind_has_its_tensor(manifests: dict[Tower, Manifest]) -> None:
    assert input_of("vision", manifests["vision"]).shape == (-1, 3, SIZE, SIZE)
    for kind, tower in (("image", "vision"), ("text", "text")):
        spec = input_of(kind, manifests[tower])  # type: ignore[arg-type, index]
        assert (spec.name, spec.datatype, spec.shape) == (kind, "BYTES", (-1,))
    assert output_of(manifests["text"]).shape == (-1, DIMENSION)


def test_config_is_metadata_without_the_batch(manifests: dict[Tower, Manifest]) -> None:
    metadata = metadata_to_pb("tiny-vision", 3, "vision", manifests["vision"])
    config = config_to_pb("tiny-vision", "vision", manifests["vision"])
    assert metadata.versions == ["3"]
    assert config.max_batch_size == 256
    assert config.input[0].data_type == pb.TYPE_FP32
    assert [-1, *config.input[0].dims] == metadata.inputs[0].shape
    assert [-1, *config.output[0].dims] == metadata.outputs[0].shape
    text = config_to_pb("tiny-text", "text", manifests["text"])
    assert (text.input[0].data_type, list(text.input[0].dims)) == (pb.TYPE_STRING, [])
