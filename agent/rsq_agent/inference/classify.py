"""Zero-shot classification with both towers of a live model. No transport here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rsq.classification import LabelScore, label_texts, rank_labels
from rsq.errors import BadInput
from rsq_agent.inference.embedding import (
    MAX_ITEMS,
    Caller,
    EmbedResult,
    RawPixels,
    check_count,
    embed_images,
    embed_texts,
)
from rsq_agent.inference.live_model import LiveModel


@dataclass(frozen=True)
class Classified:
    """The best labels of each image, and what made them. Times are of the images and the labels
    together; labels seen before cost none."""

    results: list[list[LabelScore]]
    vision_artifact_id: str
    text_artifact_id: str
    queue_ms: float
    preprocess_ms: float
    inference_ms: float


def classify_images(
    model: LiveModel,
    images: Sequence[bytes | RawPixels],
    labels: Sequence[str],
    *,
    template: str,
    top: int,
    caller: Caller,
) -> Classified:
    """The `top` best labels of each image (0: all).

    Raises BadInput where a tower is missing, and as `label_texts`, `embed_texts` and `embed_images`
    do.
    """
    if missing := [name for name in ("vision", "text") if name not in model.towers]:
        raise BadInput(
            "Classifying needs both towers, and this agent serves no "
            f"{missing[0]} tower; pull the {missing[0]} tower as well."
        )
    check_count(images, "images")
    texts = label_texts(labels, template)
    ends = None if caller.timeout_seconds is None else time.monotonic() + caller.timeout_seconds
    label_parts = [
        embed_texts(model, texts[start : start + MAX_ITEMS], _remaining(caller, ends))
        for start in range(0, len(texts), MAX_ITEMS)
    ]
    seen = embed_images(model, images, _remaining(caller, ends))
    label_rows = np.concatenate([part.rows for part in label_parts])
    cosines = _cosines(seen.rows, label_rows)
    parts: list[EmbedResult] = [*label_parts, seen]
    scoring = model.manifest.scoring
    return Classified(
        results=[rank_labels(row, labels, scoring, top=top) for row in cosines],
        vision_artifact_id=seen.artifact_id,
        text_artifact_id=label_parts[0].artifact_id,
        queue_ms=sum(part.queue_ms for part in parts),
        preprocess_ms=sum(part.preprocess_ms for part in parts),
        inference_ms=sum(part.inference_ms for part in parts),
    )


def _remaining(caller: Caller, ends: float | None) -> Caller:
    if ends is None:
        return caller
    return replace(caller, timeout_seconds=max(ends - time.monotonic(), 0.0))


def _cosines(images: NDArray[np.float32], texts: NDArray[np.float32]) -> NDArray[np.float64]:
    return images.astype(np.float64) @ texts.astype(np.float64).T
