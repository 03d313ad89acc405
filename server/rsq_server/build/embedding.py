"""Embedding a data set with every artifact of a tower, as nodes would."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.encoder import Encoder
from rsq.errors import BadImage, BadInput, BadSource, EnvironmentFault, GateRefused
from rsq_server.build.artifact import REFERENCE_VARIANT, BuiltArtifact, refuse_broken
from rsq_server.datasets.image_text_set import Sample

Rows = NDArray[np.float32]
Encoders = list[tuple[BuiltArtifact, Encoder]]

_TEXT_BLOCK = 4096
# What all artifacts of a tower have in common with FP32, in words: the space id covers these.
_COMMON = {
    "space_id": "space",
    "dimension": "dimension",
    "scoring": "scoring",
    "image": "image preprocessing",
    "text": "text specification",
}


def open_encoders(artifacts: list[BuiltArtifact], texts: Sequence[str]) -> Encoders:
    """The artifacts of one tower, FP32 among them, loaded with one thread each.

    Raises GateRefused naming an artifact that can't be opened where FP32 can, is preprocessed or
    scored otherwise than FP32, or gives one of `texts` other token ids: its vectors would be in
    another space, however close they may look.
    """
    reference = next(a for a in artifacts if a.variant == REFERENCE_VARIANT)
    opened = {reference.id: reference.open(threads=1)}
    for artifact in artifacts:
        if artifact.id not in opened:
            _require_common(artifact, reference)
            opened[artifact.id] = _open(artifact)
    encoders = [(artifact, opened[artifact.id]) for artifact in artifacts]
    if reference.tower == "text":
        _require_same_tokens(encoders, opened[reference.id], texts)
    return encoders


def embed_each(
    encoders: Encoders,
    count: int,
    batch: int,
    prepare: Callable[[Encoder, slice], NDArray[Any]],
    workers: int,
    advance: Callable[[int], None],
) -> dict[str, Rows]:
    """Rows [count, dim] by artifact id. All artifacts of a tower take the same inputs, so each
    batch is prepared once; only `workers` batches are in memory beside the rows.

    Raises GateRefused naming an artifact that returns NaN, zeros or nothing at all.
    """
    rows = {a.id: np.empty((count, a.manifest.dimension), np.float32) for a, _ in encoders}

    def embed(start: int) -> int:
        part = slice(start, min(start + batch, count))
        inputs = prepare(encoders[0][1], part)
        for artifact, encoder in encoders:
            with refuse_broken(artifact):
                found = encoder.embed_prepared(inputs)
            _require_shape(artifact, found, (len(inputs), artifact.manifest.dimension))
            rows[artifact.id][part] = found
        return part.stop

    # One session thread and several workers is the fastest split on a CPU.
    with ThreadPoolExecutor(workers) as pool:
        try:
            for done in pool.map(embed, range(0, count, batch)):
                advance(done)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return rows


def prepare_images(encoder: Encoder, samples: Sequence[Sample]) -> NDArray[Any]:
    """float32 [n, 3, h, w]. Raises BadSource naming an image that can't be decoded."""
    rows = []
    for sample in samples:
        try:
            rows.append(encoder.prepare_image(sample.read()))
        except BadImage as e:
            raise BadSource(f"{sample.describe()} can't be used: {e.message}") from e
    return np.stack(rows)


def _open(artifact: BuiltArtifact) -> Encoder:
    try:
        return artifact.open(threads=1)
    except (EnvironmentFault, BadInput) as e:
        # FP32 was opened, so the runtime is here and it is the artifact's fault.
        raise GateRefused(f"The artifact {artifact} can't be opened: {e.message}") from e


def _require_common(artifact: BuiltArtifact, reference: BuiltArtifact) -> None:
    for field, words in _COMMON.items():
        if getattr(artifact.manifest, field) != getattr(reference.manifest, field):
            raise GateRefused(f"The artifact {artifact} has another {words} than FP32.")


def _require_same_tokens(encoders: Encoders, reference: Encoder, texts: Sequence[str]) -> None:
    for start in range(0, len(texts), _TEXT_BLOCK):
        part = texts[start : start + _TEXT_BLOCK]
        expected = reference.prepare_texts(part)
        for artifact, encoder in encoders:
            if not np.array_equal(encoder.prepare_texts(part), expected):
                raise GateRefused(f"The artifact {artifact} has another tokenizer than FP32.")


def _require_shape(artifact: BuiltArtifact, rows: Rows, shape: tuple[int, int]) -> None:
    if rows.shape != shape:
        raise GateRefused(
            f"The artifact {artifact} is broken: its vectors have {rows.shape[-1]} numbers, where "
            f"its manifest says {shape[1]}."
        )
