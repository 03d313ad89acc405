"""Embedding for many callers: checks, preprocessing in the caller's thread, then the tower's queue.

No transport here: the servicers convert, call and convert back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rsq.errors import BadInput, RsqError
from rsq.manifest import Tower
from rsq_agent.serving import LiveModel

MAX_ITEMS = 256  # of one unary call; longer lists go in several calls or by the stream
MAX_IMAGE_BYTES = 64 << 20

T = TypeVar("T")


@dataclass(frozen=True)
class RawPixels:
    """Preprocessed little-endian float32 [3, h, w], as bytes."""

    data: bytes


@dataclass(frozen=True)
class Caller:
    """Who waits: whether it still does, and for how long."""

    is_waiting: Callable[[], bool] = lambda: True
    timeout_seconds: float | None = None


@dataclass(frozen=True)
class EmbedResult:
    """float32 [n, dim], L2-normalised, with what made it and where the time went."""

    rows: NDArray[np.float32]
    artifact_id: str
    queue_ms: float
    preprocess_ms: float
    inference_ms: float


def embed_texts(model: LiveModel, texts: Sequence[str], caller: Caller) -> EmbedResult:
    """Raises BadInput naming the text at fault, Exhausted, DeadlineExceeded."""
    encoder = model.tower("text").batcher.encoder
    check_count(texts, "texts")
    started = time.perf_counter()
    inputs = each(texts, lambda text: encoder.prepare_texts([text])[0])
    return _run(model, "text", np.stack(inputs), started, caller)


def embed_images(
    model: LiveModel, images: Sequence[bytes | RawPixels], caller: Caller
) -> EmbedResult:
    """Raises BadInput or BadImage naming the image at fault, Exhausted, DeadlineExceeded."""
    model.tower("vision")
    check_count(images, "images")
    started = time.perf_counter()
    inputs = each(images, lambda image: prepare_image(model, image))
    return _run(model, "vision", np.stack(inputs), started, caller)


def embed_each(
    model: LiveModel, tower: Tower, items: Sequence[str | bytes | RawPixels], caller: Caller
) -> list[NDArray[np.float32] | RsqError]:
    """One vector, float32 [dim], or one error an item: a bad item costs itself only."""
    results: list[NDArray[np.float32] | RsqError] = []
    inputs: list[NDArray[Any]] = []
    places: list[int] = []
    for place, item in enumerate(items):
        try:
            inputs.append(_prepare(model, tower, item))
        except RsqError as e:
            results.append(e)
        else:
            places.append(place)
            results.append(np.empty(0, np.float32))
    if inputs:
        batcher = model.tower(tower).batcher
        rows = batcher.embed(np.stack(inputs), is_wanted=caller.is_waiting).rows
        for place, row in zip(places, rows, strict=True):
            results[place] = row
    return results


def _prepare(model: LiveModel, tower: Tower, item: str | bytes | RawPixels) -> NDArray[Any]:
    if isinstance(item, str):
        row: NDArray[np.int64] = model.tower(tower).batcher.encoder.prepare_texts([item])[0]
        return row
    return prepare_image(model, item)


def prepare_image(model: LiveModel, image: bytes | RawPixels) -> NDArray[np.float32]:
    """float32 [3, h, w] of an encoded file or of raw pixels."""
    tower = model.tower("vision")
    if isinstance(image, RawPixels):
        return _pixels(image, tower.manifest.image)
    if len(image) > MAX_IMAGE_BYTES:
        raise BadInput(f"The image has {len(image)} bytes, over {MAX_IMAGE_BYTES}.")
    return tower.batcher.encoder.prepare_image(image)


def check_count(items: Sequence[object], what: str) -> None:
    if not items:
        raise BadInput(f"There are no {what} to embed.")
    if len(items) > MAX_ITEMS:
        raise BadInput(
            f"{len(items)} {what} in one call, over the limit of {MAX_ITEMS}; send them in parts "
            "or use EmbedStream."
        )


def each(items: Sequence[T], prepare: Callable[[T], Any]) -> list[Any]:
    """`prepare` of every item. A failure is raised again with the item's index in its message and
    its metadata."""
    prepared = []
    for index, item in enumerate(items):
        try:
            prepared.append(prepare(item))
        except RsqError as e:
            raise type(e)(f"item {index}: {e.message}", metadata={"index": str(index)}) from e
    return prepared


def _pixels(image: RawPixels, spec: Any) -> NDArray[np.float32]:
    shape = (3, spec.height, spec.width)
    if len(image.data) != 4 * 3 * spec.height * spec.width:
        raise BadInput(f"{len(image.data)} bytes are not float32 {list(shape)}.")
    pixels = np.frombuffer(image.data, "<f4").reshape(shape)
    if not np.isfinite(pixels).all():
        raise BadInput("The raw pixels hold NaN or infinity.")
    return pixels.astype(np.float32)


def _run(
    model: LiveModel, tower: Tower, inputs: NDArray[Any], started: float, caller: Caller
) -> EmbedResult:
    preprocess_ms = (time.perf_counter() - started) * 1000
    live = model.tower(tower)
    embedded = live.batcher.embed(
        inputs, is_wanted=caller.is_waiting, timeout_seconds=caller.timeout_seconds
    )
    return EmbedResult(
        embedded.rows,
        live.artifact_id,
        embedded.queue_ms,
        preprocess_ms,
        embedded.inference_ms,
    )
