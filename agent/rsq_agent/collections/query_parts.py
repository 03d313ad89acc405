"""The parts of a query made vectors: texts and images by the model, the rest looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsq.errors import SpaceMismatch
from rsq.retrieval import QueryPart
from rsq_agent.collections.collection_interface import VectorCollection
from rsq_agent.collections.index_points import check_space, check_vector
from rsq_agent.collections.query import combine
from rsq_agent.inference.embedding import Caller, EmbedResult, embed_images, embed_texts
from rsq_agent.inference.live_model import LiveModel


@dataclass(frozen=True)
class Query:
    """`vector` is float32 [dim], normalised; the times are of what the model made for it."""

    vector: NDArray[np.float32]
    queue_ms: float
    preprocess_ms: float
    inference_ms: float


def make_query(
    model: LiveModel,
    collection: VectorCollection,
    parts: Sequence[QueryPart],
    *,
    space_id: str,
    caller: Caller,
) -> Query:
    """The query of checked `parts`; `space_id` is that of the vectors among them. A stored image
    needs no tower.

    Raises NotFound for a stored image that isn't there, SpaceMismatch, BadInput, Exhausted and
    DeadlineExceeded.
    """
    check_space(model.manifest.space_id, collection.space_id)
    texts = [part.text for part in parts if part.text is not None]
    images = [part.image for part in parts if part.image is not None]
    made: list[EmbedResult] = []
    if texts:
        made.append(embed_texts(model, texts, caller))
    if images:
        made.append(embed_images(model, images, caller))
    text_rows = iter(made[0].rows if texts else ())
    image_rows = iter(made[-1].rows if images else ())
    rows: list[NDArray[np.float32]] = []
    for part in parts:
        if part.text is not None:
            rows.append(next(text_rows))
        elif part.image is not None:
            rows.append(next(image_rows))
        elif part.like is not None:
            rows.append(collection.stored_vector(part.like))
        elif part.vector is not None:
            if space_id != model.manifest.space_id:
                raise SpaceMismatch(
                    "The query vector is of another embedding space than the model served here."
                )
            rows.append(check_vector(part.vector, collection.dimension))
    return Query(
        combine(rows, [part.weight for part in parts]),
        sum(result.queue_ms for result in made),
        sum(result.preprocess_ms for result in made),
        sum(result.inference_ms for result in made),
    )
