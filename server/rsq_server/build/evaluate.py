"""Accuracy of every artifact and every pair against FP32 on one data set.

Embeds with `rsq.encoder.Encoder`, the code that nodes run, decoding and tokenizing included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from rsq.encoder import Encoder
from rsq.manifest import TOWERS, Tower
from rsq_server.build.artifact import BuiltArtifact, reference_of, refuse_broken
from rsq_server.build.crossing import compare_crossings
from rsq_server.build.embedding import Encoders, Rows, embed_each, open_encoders, prepare_images
from rsq_server.build.invariance import (
    INPUTS,
    measure_batch_cosine,
    measure_padding_cosine,
    spread_out,
)
from rsq_server.build.metrics import (
    Retrieval,
    compare_embeddings,
    compare_retrieval,
    retrieve,
)
from rsq_server.build.questions import Questions, ask
from rsq_server.build.samples import (
    PORT_QUERY,
    choose_queries,
    find_hits,
    make_thumbnails,
    sample_similarities,
)
from rsq_server.datasets.image_text_set import ImageTextSet
from rsq_server.details import Details

# Larger batches are no faster on a CPU, and their activations rule the memory of large models.
IMAGE_BATCH = 4
TEXT_BATCH = 8


@dataclass(frozen=True)
class Evaluation:
    """Metrics by artifact id (this tower against the other in FP32), and by the ids of a vision and
    a text artifact; what a report shows of them, without sensitivities and trials."""

    artifacts: dict[str, dict[str, float]]
    pairs: dict[tuple[str, str], dict[str, float]]
    details: Details


@dataclass(frozen=True)
class _Embedded:
    """A data set seen by every artifact: rows by tower and artifact id, and how far each artifact's
    depend on its batch mates. The texts are queries, then prompts, then PORT_QUERY."""

    rows: dict[Tower, dict[str, Rows]]
    invariance: dict[str, dict[str, float]]


def evaluate(
    artifacts: list[BuiltArtifact],
    dataset: ImageTextSet,
    *,
    workers: int,
    advance: Callable[[int, int], None],
) -> Evaluation:
    """Embeds `dataset` once with each artifact, `workers` inputs at a time, and compares.

    1. embed images and texts, and a few of them again with other batch mates; 2. compare each pair
    of artifacts with FP32's; 3. compare each artifact with FP32's, and its vectors in one index
    with FP32's; 4. sample what a report shows.

    `artifacts` hold an FP32 one for each tower. `advance(done, total)` is called as batches finish.
    Raises GateRefused naming an artifact that can't be opened, reads its inputs otherwise than
    FP32, or returns NaN, zeros or nothing at all; BadSource naming an image that can't be decoded.
    """
    questions = ask(dataset)
    references = {tower: reference_of(artifacts, tower).id for tower in TOWERS}

    # 1. embed
    embedded = _embed(artifacts, dataset, questions, workers, advance)

    # 2. compare pairs
    pairs = _compare_pairs(embedded, references, questions)

    # 3. compare artifacts
    metrics = {}
    count = len(questions.queries)
    queries = embedded.rows["text"][references["text"]][:count]
    for artifact in artifacts:
        ids = {**references, artifact.tower: artifact.id}
        reference, variant = (
            embedded.rows[artifact.tower][identity]
            for identity in (references[artifact.tower], artifact.id)
        )
        if artifact.tower == "vision":
            own = {
                **compare_embeddings(reference, variant),
                **compare_crossings(reference, variant, queries),
            }
        else:
            own = compare_embeddings(reference[:count], variant[:count])
        metrics[artifact.id] = {
            **own,
            **pairs[ids["vision"], ids["text"]],
            **embedded.invariance[artifact.id],
        }

    # 4. sample for the report
    details = _sample_details(artifacts, dataset, questions, embedded, references)
    return Evaluation(metrics, pairs, details)


def _embed(
    artifacts: list[BuiltArtifact],
    dataset: ImageTextSet,
    questions: Questions,
    workers: int,
    advance: Callable[[int, int], None],
) -> _Embedded:
    """One tower after the other, so that only one tower's artifacts are loaded at a time."""
    texts = (*questions.queries, *questions.prompts, PORT_QUERY)
    images = len(dataset.samples)
    total = images + len(texts)
    invariance: dict[str, dict[str, float]] = {}

    def images_of(encoder: Encoder, part: slice) -> NDArray[Any]:
        return prepare_images(encoder, dataset.samples[part])

    def texts_of(encoder: Encoder, part: slice) -> NDArray[Any]:
        return encoder.prepare_texts(texts[part])

    encoders = _open_tower(artifacts, "vision", texts)
    vision = embed_each(
        encoders, images, IMAGE_BATCH, images_of, workers, lambda done: advance(done, total)
    )
    chosen = [dataset.samples[index] for index in spread_out(images, INPUTS)]
    inputs = prepare_images(encoders[0][1], chosen)
    for artifact, encoder in encoders:
        with refuse_broken(artifact):
            cosine = measure_batch_cosine(encoder, inputs, workers=workers)
        invariance[artifact.id] = {"batch_cosine_min": cosine}

    encoders = _open_tower(artifacts, "text", texts)
    text = embed_each(
        encoders,
        len(texts),
        TEXT_BATCH,
        texts_of,
        workers,
        lambda done: advance(images + done, total),
    )
    inputs = encoders[0][1].prepare_texts(
        [texts[index] for index in spread_out(len(texts), INPUTS)]
    )
    for artifact, encoder in encoders:
        with refuse_broken(artifact):
            invariance[artifact.id] = {
                "batch_cosine_min": measure_batch_cosine(encoder, inputs, workers=workers),
                "padding_cosine_min": measure_padding_cosine(encoder, texts),
            }
    return _Embedded({"vision": vision, "text": text}, invariance)


def _open_tower(artifacts: list[BuiltArtifact], tower: Tower, texts: tuple[str, ...]) -> Encoders:
    return open_encoders([a for a in artifacts if a.tower == tower], texts)


def _compare_pairs(
    embedded: _Embedded, references: dict[Tower, str], questions: Questions
) -> dict[tuple[str, str], dict[str, float]]:
    count = len(questions.queries)

    def find(vision: str, text: str) -> Retrieval:
        rows = embedded.rows["text"][text]
        prompts = rows[count : count + len(questions.prompts)] if questions.prompts else None
        return retrieve(embedded.rows["vision"][vision], rows[:count], prompts, questions.targets)

    reference = find(references["vision"], references["text"])
    return {
        (vision, text): compare_retrieval(reference, find(vision, text))
        for vision in embedded.rows["vision"]
        for text in embedded.rows["text"]
    }


def _sample_details(
    artifacts: list[BuiltArtifact],
    dataset: ImageTextSet,
    questions: Questions,
    embedded: _Embedded,
    references: dict[Tower, str],
) -> Details:
    count = len(questions.queries)
    images, texts = embedded.rows["vision"], embedded.rows["text"]

    def rows_of(ids: dict[Tower, str]) -> tuple[Rows, Rows]:
        return images[ids["vision"]], texts[ids["text"]][:count]

    of_variant: dict[str, dict[Tower, str]] = {}
    for artifact in artifacts:
        of_variant.setdefault(artifact.variant, {})[artifact.tower] = artifact.id
    similarities = tuple(
        sample_similarities(
            str(artifact), rows_of(references), rows_of({**references, artifact.tower: artifact.id})
        )
        for artifact in artifacts
        if artifact.id != references[artifact.tower]
    )
    shown = choose_queries(
        dataset,
        questions.queries,
        questions.targets.own_images,
        port_row=count + len(questions.prompts),
    )
    pairs = {
        variant: (images[ids["vision"]], texts[ids["text"]])
        for variant, ids in of_variant.items()
        if len(ids) == len(TOWERS)
    }
    hits = find_hits(dataset, shown, pairs)
    return Details(
        dataset=dataset.name,
        dataset_digest=dataset.digest,
        similarities=similarities,
        hits=hits,
        thumbnails=make_thumbnails(dataset, hits),
    )
