"""Embedding for many callers: checks, preprocessing in the caller's thread, then the tower's queue.

No transport here: the servicers convert, call and convert back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rsq.errors import BadInput, RsqError
from rsq.manifest import Tower
from rsq_agent.inference.call import Embedded
from rsq_agent.inference.live_model import LiveModel, LiveTower

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
    """Raises BadInput naming the text at fault, Exhausted, DeadlineExceeded. Texts embedded before
    come from memory."""
    tower = model.tower("text")
    check_count(texts, "texts")
    known = [tower.vectors.get(text) for text in texts]
    missing = [index for index, row in enumerate(known) if row is None]
    rows = np.empty((len(texts), tower.manifest.dimension), np.float32)
    for index, row in enumerate(known):
        if row is not None:
            rows[index] = row
    if not missing:
        return EmbedResult(rows, tower.artifact_id, 0.0, 0.0, 0.0)

    def prepare(text: str) -> NDArray[Any]:
        inputs: NDArray[np.int64] = tower.batcher.encoder.prepare_texts([text])[0]
        return inputs

    result = _embed(tower, [texts[index] for index in missing], prepare, caller, places=missing)
    for index, row in zip(missing, result.rows, strict=True):
        rows[index] = row
        tower.vectors.put(texts[index], row)
    return replace(result, rows=rows)


def embed_images(
    model: LiveModel, images: Sequence[bytes | RawPixels], caller: Caller
) -> EmbedResult:
    """Raises BadInput or BadImage naming the image at fault, Exhausted, DeadlineExceeded."""
    tower = model.tower("vision")
    check_count(images, "images")
    return _embed(tower, images, lambda image: prepare_image(tower, image), caller)


def _embed(
    tower: LiveTower,
    items: Sequence[T],
    prepare: Callable[[T], NDArray[Any]],
    caller: Caller,
    places: Sequence[int] | None = None,
) -> EmbedResult:
    """The first item runs while the next is decoded. `places` are the items' in the caller's list,
    where that is a longer one."""
    begun = time.perf_counter()
    preprocess_seconds = 0.0
    with tower.batcher.call(
        len(items), is_wanted=caller.is_waiting, timeout_seconds=caller.timeout_seconds
    ) as call:
        for index, item in enumerate(items):
            started = time.perf_counter()
            with naming_item(index if places is None else places[index]):
                inputs = prepare(item)
            preprocess_seconds += time.perf_counter() - started
            call.add(inputs)
        embedded = call.collect()
    _observe(tower, embedded, preprocess_seconds, begun)
    return EmbedResult(
        embedded.rows,
        tower.artifact_id,
        embedded.queue_ms,
        preprocess_seconds * 1000,
        embedded.inference_ms,
    )


def _observe(tower: LiveTower, embedded: Embedded, preprocess_seconds: float, begun: float) -> None:
    tower.meter.observe_call(
        queue_ms=embedded.queue_ms,
        preprocess_ms=preprocess_seconds * 1000,
        inference_ms=embedded.inference_ms,
        total_ms=(time.perf_counter() - begun) * 1000,
    )


class PendingItems:
    """Items of a stream on their way: prepared and queued, not collected yet."""

    def __init__(
        self,
        model: LiveModel,
        name: Tower,
        items: Sequence[str | bytes | RawPixels],
        caller: Caller,
    ) -> None:
        """Waits for room in the queue rather than raising Exhausted: a stream slows down."""
        self._results: list[NDArray[np.float32] | RsqError] = []
        self._places: list[int] = []
        self._stack = ExitStack()
        self._tower = tower = model.tower(name)
        self._begun = time.perf_counter()
        self._preprocess_seconds = 0.0
        try:
            self._call = self._stack.enter_context(
                tower.batcher.call(len(items), is_wanted=caller.is_waiting, wait_for_room=True)
            )
            for item in items:
                started = time.perf_counter()
                try:
                    inputs = _prepare(tower, item)
                except RsqError as e:
                    self._results.append(e)
                    continue
                self._preprocess_seconds += time.perf_counter() - started
                self._places.append(len(self._results))
                self._results.append(np.empty(0, np.float32))
                self._call.add(inputs)
        except BaseException:
            self._stack.close()
            raise

    def collect(self) -> list[NDArray[np.float32] | RsqError]:
        """One vector, float32 [dim], or one error an item: a bad item costs itself only."""
        with self._stack:
            if self._places:
                embedded = self._call.collect()
                for place, row in zip(self._places, embedded.rows, strict=True):
                    self._results[place] = row
                _observe(self._tower, embedded, self._preprocess_seconds, self._begun)
        return self._results

    def discard(self) -> None:
        """Takes out of the queue what still waits."""
        self._stack.close()


def _prepare(tower: LiveTower, item: str | bytes | RawPixels) -> NDArray[Any]:
    if isinstance(item, str):
        row: NDArray[np.int64] = tower.batcher.encoder.prepare_texts([item])[0]
        return row
    return prepare_image(tower, item)


def prepare_image(tower: LiveTower, image: bytes | RawPixels) -> NDArray[np.float32]:
    """float32 [3, h, w] of an encoded file or of raw pixels."""
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


@contextmanager
def naming_item(index: int) -> Iterator[None]:
    """Raises an RsqError of the block again with the item's index in its message and metadata."""
    try:
        yield
    except RsqError as e:
        raise type(e)(f"item {index}: {e.message}", metadata={"index": str(index)}) from e


def _pixels(image: RawPixels, spec: Any) -> NDArray[np.float32]:
    shape = (3, spec.height, spec.width)
    if len(image.data) != 4 * 3 * spec.height * spec.width:
        raise BadInput(f"{len(image.data)} bytes are not float32 {list(shape)}.")
    pixels = np.frombuffer(image.data, "<f4").reshape(shape)
    if not np.isfinite(pixels).all():
        raise BadInput("The raw pixels hold NaN or infinity.")
    return pixels.astype(np.float32)
