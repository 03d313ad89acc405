from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image
from tiny_artifacts import build_artifact

from rsq.errors import BadSource, GateRefused
from rsq.manifest import Tower
from rsq.sharing import may_share
from rsq_server.build.artifact import BuiltArtifact
from rsq_server.build.evaluate import evaluate
from rsq_server.datasets.image_text_set import ImageTextSet, Sample
from rsq_server.details import decode_details, encode_details


def _artifact(folder: Path, tower: Tower, variant: str, *, seed: int) -> BuiltArtifact:
    built = build_artifact(folder / f"{tower}-{variant}", tower, variant, seed=seed)
    return BuiltArtifact(built.folder, built.manifest)


def _image(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 11, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _set(*, captions: bool = True, labels: bool = True, count: int = 11) -> ImageTextSet:
    words = ("red", "blue", "port", "river", "forest")
    samples = tuple(
        Sample(
            _image(seed),
            words[seed % 5] if labels else None,
            (f"{words[seed % 5]} {words[seed % 3]} port",) if captions else (),
        )
        for seed in range(count)
    )
    return ImageTextSet("words", "e" * 64, samples, labels)


@pytest.fixture
def artifacts(tmp_path: Path) -> list[BuiltArtifact]:
    """Two variants a tower; the second one computes something else entirely."""
    return [
        _artifact(tmp_path, tower, variant, seed=seed)
        for tower in ("vision", "text")
        for variant, seed in (("fp32", 0), ("other", 1))
    ]


def test_every_artifact_and_every_pair_is_evaluated_against_fp32(
    artifacts: list[BuiltArtifact],
) -> None:
    calls: list[tuple[int, int]] = []
    found = evaluate(
        artifacts, _set(), workers=2, advance=lambda done, total: calls.append((done, total))
    )
    vision, vision_other, text, text_other = (artifact.id for artifact in artifacts)
    assert set(found.artifacts) == {vision, vision_other, text, text_other}
    assert set(found.pairs) == {(v, t) for v in (vision, vision_other) for t in (text, text_other)}
    for reference in (vision, text):
        assert found.artifacts[reference]["cosine_min"] == pytest.approx(1)
        assert found.artifacts[reference]["top1_match"] == 1.0
    assert found.artifacts[vision_other]["cosine_mean"] < 0.9
    # An artifact's own evaluation is that of its pair with the other tower in FP32.
    assert found.pairs[vision_other, text].items() <= found.artifacts[vision_other].items()
    assert found.pairs[vision, text_other].items() <= found.artifacts[text_other].items()
    total = 11 + 11 + 5 + 1  # images, captions, labels, and the query of every report
    assert calls[-1] == (total, total)
    assert calls == sorted(calls)


def test_vectors_and_metrics_do_not_depend_on_the_number_of_workers(
    artifacts: list[BuiltArtifact],
) -> None:
    one = evaluate(artifacts, _set(), workers=1, advance=lambda done, total: None)
    many = evaluate(artifacts, _set(), workers=3, advance=lambda done, total: None)
    assert one == many


def test_recall_and_zero_shot_equal_those_of_the_encoders_own_vectors(
    artifacts: list[BuiltArtifact],
) -> None:
    dataset = _set()
    images = artifacts[0].open(threads=1).embed_images([s.read() for s in dataset.samples])
    encoder = artifacts[2].open(threads=1)
    captions = encoder.embed_texts([s.captions[0] for s in dataset.samples])
    labels = sorted({str(s.label) for s in dataset.samples})
    prompts = encoder.embed_texts([f"a satellite image of {label}" for label in labels])
    cosines = captions @ images.T
    recall = np.mean([row[i] >= np.sort(row)[-5] for i, row in enumerate(cosines)])
    picked = (images @ prompts.T).argmax(1)
    right = np.mean([labels[at] == s.label for at, s in zip(picked, dataset.samples, strict=True)])
    found = evaluate(artifacts, dataset, workers=2, advance=lambda done, total: None)
    metrics = found.pairs[artifacts[0].id, artifacts[2].id]
    assert metrics["recall_at_5"] == pytest.approx(recall)
    assert metrics["zero_shot"] == pytest.approx(right)


def test_a_set_without_labels_is_evaluated_without_zero_shot(
    artifacts: list[BuiltArtifact],
) -> None:
    bare = _set(captions=False, labels=False)
    found = evaluate(artifacts, bare, workers=1, advance=lambda done, total: None)
    metrics = found.artifacts[artifacts[0].id]
    assert "zero_shot" not in metrics
    assert "recall_at_10" not in metrics
    assert metrics["top1_match"] == 1.0


def test_an_artifact_that_returns_nan_is_refused_by_name(
    artifacts: list[BuiltArtifact],
) -> None:
    path = artifacts[1].folder / "model.onnx"
    model = onnx.load(path)
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "bias")
    bias.CopyFrom(numpy_helper.from_array(np.full(16, np.nan, np.float32), "bias"))
    onnx.save(model, path)
    with pytest.raises(GateRefused, match="vision other is broken"):
        evaluate(artifacts, _set(), workers=2, advance=lambda done, total: None)


def test_each_artifact_has_every_metric_with_its_intervals(artifacts: list[BuiltArtifact]) -> None:
    found = evaluate(artifacts, _set(), workers=2, advance=lambda done, total: None)
    vision, text = found.artifacts[artifacts[1].id], found.artifacts[artifacts[3].id]
    for name in (
        "top1_match",
        "top3_match",
        "overlap_at_10",
        "recall_at_10_change",
        "zero_shot_change",
        "cosine_mean",
    ):
        for metrics in (vision, text):
            assert metrics[f"{name}_low"] <= metrics[name] <= metrics[f"{name}_high"]
    both = {"kendall_tau", "image_recall_at_5_change", "batch_cosine_min", "cosine_p1"}
    assert both <= vision.keys() & text.keys()
    crossings = {"mixed_top1_match", "mixed_overlap_at_10", "cross_image_overlap_at_10"}
    assert crossings <= vision.keys() - text.keys()
    assert text.keys() - vision.keys() == {"padding_cosine_min"}
    assert not may_share(vision)
    assert may_share(found.artifacts[artifacts[0].id])


def test_the_report_shows_the_other_variants_similarities_and_everyones_hits(
    artifacts: list[BuiltArtifact],
) -> None:
    dataset = _set()
    details = evaluate(artifacts, dataset, workers=2, advance=lambda done, total: None).details
    assert (details.dataset, details.dataset_digest) == (dataset.name, dataset.digest)
    assert [sample.artifact for sample in details.similarities] == ["vision other", "text other"]
    assert details.hits[0].query == "port with large cargo ships"
    assert all(list(hits.pairs) == ["fp32", "other"] for hits in details.hits)
    encoder, searcher = artifacts[0].open(threads=1), artifacts[2].open(threads=1)
    images = encoder.embed_images([sample.read() for sample in dataset.samples])
    cosines = images @ searcher.embed_texts([details.hits[0].query])[0]
    best = details.hits[0].pairs["fp32"][0]
    assert int(best.image) == cosines.argmax()
    assert best.score == pytest.approx(cosines.max(), abs=1e-5)
    assert decode_details(encode_details(details)) == details


def test_an_image_that_breaks_meanwhile_is_named(
    artifacts: list[BuiltArtifact], tmp_path: Path
) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(_image(0)[:60])
    dataset = ImageTextSet("one", "e" * 64, (Sample(path, None, ()),), labels=False)
    with pytest.raises(BadSource, match=r"broken\.png can't be used"):
        evaluate(artifacts, dataset, workers=2, advance=lambda done, total: None)
