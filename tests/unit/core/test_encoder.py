from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tiny_artifacts import TinyArtifact, build_artifact, encode_image

from rsq.encoder import Encoder
from rsq.errors import BadImage, BadInput, EnvironmentFault
from rsq.onnx_session import available_providers


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> TinyArtifact:
    return build_artifact(tmp_path_factory.mktemp("vision"), "vision")


def test_images_become_unit_vectors(vision: TinyArtifact) -> None:
    rows = Encoder(vision.folder, vision.manifest).embed_images(
        [encode_image((255, 0, 0)), encode_image((0, 9, 255), kind="BMP")]
    )
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1], abs=1e-6)


def test_the_other_towers_input_is_refused(vision: TinyArtifact, tmp_path: Path) -> None:
    text = build_artifact(tmp_path, "text")
    with pytest.raises(BadInput, match="vision tower"):
        Encoder(vision.folder, vision.manifest).embed_texts(["port"])
    with pytest.raises(BadInput, match="text tower"):
        Encoder(text.folder, text.manifest).embed_images([encode_image((1, 1, 1))])


def test_a_bad_image_is_bad_input_of_its_own_class(vision: TinyArtifact) -> None:
    with pytest.raises(BadImage):
        Encoder(vision.folder, vision.manifest).embed_images([b"\x00"])


def test_an_artifact_with_batch_wide_scales_runs_one_item_at_a_time(
    vision: TinyArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = dataclasses.replace(vision.manifest, batch_invariant=False)
    encoder = Encoder(vision.folder, manifest)
    sizes: list[int] = []
    run = encoder._session.embed

    def embed(inputs: np.ndarray) -> np.ndarray:
        sizes.append(len(inputs))
        return run(inputs)

    monkeypatch.setattr(encoder._session, "embed", embed)
    images = [encode_image((i, 255 - i, 7)) for i in (10, 90, 200)]
    rows = encoder.embed_images(images)
    assert sizes == [1, 1, 1]
    assert rows == pytest.approx(Encoder(vision.folder, vision.manifest).embed_images(images))


def test_a_provider_that_is_not_there_is_an_error_not_a_fallback(vision: TinyArtifact) -> None:
    missing = "CUDAExecutionProvider"
    if missing in available_providers():
        pytest.skip("this machine has CUDA")
    with pytest.raises(EnvironmentFault):
        Encoder(vision.folder, vision.manifest, provider=missing)


def test_a_graph_that_does_not_load_is_one_sentence(vision: TinyArtifact, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not onnx")
    with pytest.raises(EnvironmentFault, match="can't load"):
        Encoder(tmp_path, vision.manifest)
