"""Accuracy of every artifact and every pair against FP32 on one data set.

Embeds with `rsq.encoder.Encoder`, the code that nodes run, decoding and tokenizing included.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.encoder import Encoder
from rsq.errors import BadImage, BadSource
from rsq.manifest import TOWERS, Tower
from rsq_server.build.artifact import BuiltArtifact, reference_of, refuse_broken
from rsq_server.build.metrics import Targets, compare_embeddings, compare_retrieval, retrieve
from rsq_server.datasets import ImageTextSet, Sample
from rsq_server.demo.scenes import CLASSES

# Larger batches are no faster on a CPU, and their activations rule the memory of large models.
IMAGE_BATCH = 4
TEXT_BATCH = 8

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Questions:
    """The texts that a set is searched and classified with, and what they should find."""

    queries: tuple[str, ...]
    prompts: tuple[str, ...]  # one for each label, in the labels' order; empty without labels
    targets: Targets


@dataclass(frozen=True)
class Evaluation:
    """Metrics by artifact id (this tower against the other in FP32), and by the ids of a vision and
    a text artifact."""

    artifacts: dict[str, dict[str, float]]
    pairs: dict[tuple[str, str], dict[str, float]]


def evaluate(
    artifacts: list[BuiltArtifact],
    dataset: ImageTextSet,
    *,
    workers: int,
    advance: Callable[[int, int], None],
) -> Evaluation:
    """Embeds `dataset` once with each artifact, `workers` inputs at a time, and compares.

    `artifacts` hold an FP32 one for each tower. `advance(done, total)` is called as batches finish.
    Raises GateRefused naming an artifact that returns NaN, zeros or nothing at all, BadSource
    naming an image that can't be decoded.
    """
    questions = ask(dataset)
    texts = (*questions.queries, *questions.prompts)
    of_tower = {tower: [a for a in artifacts if a.tower == tower] for tower in TOWERS}
    total = len(dataset.samples) + len(texts)

    def images_of(encoder: Encoder, part: slice) -> NDArray[Any]:
        return _prepare_images(encoder, dataset.samples[part])

    def texts_of(encoder: Encoder, part: slice) -> NDArray[Any]:
        return encoder.prepare_texts(texts[part])

    def advance_images(done: int) -> None:
        advance(done, total)

    def advance_texts(done: int) -> None:
        advance(len(dataset.samples) + done, total)

    images = _embed(
        of_tower["vision"], len(dataset.samples), IMAGE_BATCH, images_of, workers, advance_images
    )
    words = _embed(of_tower["text"], len(texts), TEXT_BATCH, texts_of, workers, advance_texts)
    embeddings: dict[Tower, dict[str, Rows]] = {"vision": images, "text": words}
    references = {tower: reference_of(artifacts, tower).id for tower in TOWERS}

    pairs = _compare_pairs(embeddings, references, questions)
    metrics = {}
    for artifact in artifacts:
        ids = {**references, artifact.tower: artifact.id}
        vectors = embeddings[artifact.tower]
        rows = slice(len(dataset.samples if artifact.tower == "vision" else questions.queries))
        metrics[artifact.id] = {
            **compare_embeddings(
                vectors[references[artifact.tower]][rows], vectors[artifact.id][rows]
            ),
            **pairs[ids["vision"], ids["text"]],
        }
    return Evaluation(metrics, pairs)


def ask(dataset: ImageTextSet) -> Questions:
    """The first captions of the set; where it has none, its labels' prompts; where it has none of
    these either, prompts for the generated scenes' classes, which any overhead imagery can be
    searched with."""
    captioned = [(index, s.captions[0]) for index, s in enumerate(dataset.samples) if s.captions]
    labels = sorted({s.label for s in dataset.samples if s.label}) if dataset.labels else []
    prompts = tuple(label_prompt(label) for label in labels)
    order = {label: index for index, label in enumerate(labels)}
    targets = Targets(
        own_images=np.array([index for index, _ in captioned], np.int64) if captioned else None,
        label_indices=np.array([order[s.label] for s in dataset.samples if s.label], np.int64)
        if labels
        else None,
    )
    queries = tuple(caption for _, caption in captioned) or prompts
    return Questions(queries or tuple(label_prompt(name) for name in CLASSES), prompts, targets)


def label_prompt(label: str) -> str:
    """The zero-shot prompt of a label as folders are named: "SparseResidential" and
    "sparse_residential" give "a satellite image of sparse residential"."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_\-\s]+", " ", label)
    return f"a satellite image of {spaced.strip().lower()}"


def _compare_pairs(
    embeddings: dict[Tower, dict[str, Rows]], references: dict[Tower, str], questions: Questions
) -> dict[tuple[str, str], dict[str, float]]:
    count = len(questions.queries)

    def find(vision: str, text: str) -> Any:
        rows = embeddings["text"][text]
        prompts = rows[count:] if questions.prompts else None
        return retrieve(embeddings["vision"][vision], rows[:count], prompts, questions.targets)

    reference = find(references["vision"], references["text"])
    return {
        (vision, text): compare_retrieval(reference, find(vision, text))
        for vision in embeddings["vision"]
        for text in embeddings["text"]
    }


def _prepare_images(encoder: Encoder, samples: Sequence[Sample]) -> NDArray[Any]:
    rows = []
    for sample in samples:
        try:
            rows.append(encoder.prepare_image(sample.read()))
        except BadImage as e:
            raise BadSource(f"{sample.describe()} can't be used: {e.message}") from e
    return np.stack(rows)


def _embed(
    artifacts: list[BuiltArtifact],
    count: int,
    batch: int,
    prepare: Callable[[Encoder, slice], NDArray[Any]],
    workers: int,
    advance: Callable[[int], None],
) -> dict[str, Rows]:
    """Rows [count, dim] by artifact id. All artifacts of a tower take the same inputs, so each
    batch is prepared once; only `workers` batches are in memory."""
    encoders = [(artifact, artifact.open(threads=1)) for artifact in artifacts]

    def embed(start: int) -> list[Rows]:
        inputs = prepare(encoders[0][1], slice(start, min(start + batch, count)))
        rows = []
        for artifact, encoder in encoders:
            with refuse_broken(artifact):
                rows.append(encoder.embed_prepared(inputs))
        return rows

    parts: list[list[Rows]] = []
    # One session thread and several workers is the fastest split on a CPU.
    with ThreadPoolExecutor(workers) as pool:
        try:
            for part in pool.map(embed, range(0, count, batch)):
                parts.append(part)
                advance(min(len(parts) * batch, count))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return {
        artifact.id: np.concatenate([part[index] for part in parts])
        for index, artifact in enumerate(artifacts)
    }
