from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from tiny_artifacts import TinyArtifact, build_artifact, encode_image

from rsq.encoder import Encoder
from rsq.errors import IntegrityError, ProbeFailed
from rsq.manifest import ProbeSpec
from rsq.probe import Probe, ProbeResult, decode_probe, encode_probe, judge, replay

SPEC = ProbeSpec(own_cosine_min=0.999, fp32_cosine_min=0.98)


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> TinyArtifact:
    return build_artifact(tmp_path_factory.mktemp("vision"), "vision")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> TinyArtifact:
    return build_artifact(tmp_path_factory.mktemp("text"), "text")


def _load(artifact: TinyArtifact) -> tuple[Encoder, Probe]:
    probe = decode_probe((artifact.folder / "probe.json").read_bytes())
    return Encoder(artifact.folder, artifact.manifest), probe


def test_a_healthy_artifact_reproduces_its_own_outputs(
    vision: TinyArtifact, text: TinyArtifact
) -> None:
    for artifact in (vision, text):
        encoder, probe = _load(artifact)
        result = replay(encoder, probe)
        assert result.own_cosine_min == pytest.approx(1, abs=1e-5)
        judge(result, artifact.manifest.probe)


def test_wrong_preprocessing_is_caught(vision: TinyArtifact) -> None:
    _, probe = _load(vision)
    assert vision.manifest.image is not None
    wrong = dataclasses.replace(vision.manifest.image, mean=(0.48, 0.46, 0.41), std=(0.2, 0.3, 0.1))
    encoder = Encoder(vision.folder, dataclasses.replace(vision.manifest, image=wrong))
    with pytest.raises(ProbeFailed):
        judge(replay(encoder, probe), vision.manifest.probe)


def test_swapped_colour_channels_are_caught(
    vision: TinyArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, probe = _load(vision)
    prepare = encoder.prepare_image
    monkeypatch.setattr(encoder, "prepare_image", lambda data: prepare(data)[::-1])
    with pytest.raises(ProbeFailed):
        judge(replay(encoder, probe), vision.manifest.probe)


def test_a_pipeline_that_does_not_answer_fails_the_probe(vision: TinyArtifact) -> None:
    encoder, probe = _load(vision)
    broken = dataclasses.replace(probe, images=(b"not an image", encode_image((1, 2, 3))))
    with pytest.raises(ProbeFailed, match="could not run"):
        replay(encoder, broken)


@pytest.mark.parametrize(
    "result",
    [
        ProbeResult(0.99, 0.99),
        ProbeResult(1.0, 0.9),
        ProbeResult(float("nan"), 1.0),
        ProbeResult(1.0, float("nan")),
    ],
)
def test_either_tolerance_refuses_and_nan_never_passes(result: ProbeResult) -> None:
    with pytest.raises(ProbeFailed):
        judge(result, SPEC)
    judge(ProbeResult(0.999, 0.98), SPEC)


def test_a_probe_survives_encoding(text: TinyArtifact) -> None:
    data = (text.folder / "probe.json").read_bytes()
    probe = decode_probe(data)
    assert encode_probe(probe) == data
    assert probe.own.shape == (2, 16)
    assert probe.fp32.dtype == np.float32


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"images": ["!!"]},
        {"texts": []},
        {"dimension": 0},
        {"dimension": 17},
        {"own": "AAAA"},
        {"fp32": None},
    ],
)
def test_malformed_probes_are_refused(text: TinyArtifact, change: dict[str, object]) -> None:
    fields = json.loads((text.folder / "probe.json").read_bytes()) | change
    with pytest.raises(IntegrityError):
        decode_probe(json.dumps(fields).encode())
    with pytest.raises(IntegrityError):
        decode_probe(b"\xff{")
