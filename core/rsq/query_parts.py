"""What a caller looks for, as the parts of one query."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.errors import BadInput
from rsq.image_input import read_image
from rsq.retrieval import Origin, QueryPart

# Half: a text against its own subject leaves the subject in, and its kind comes later.
NEGATIVE_WEIGHT = -0.5


def make_parts(
    *,
    text: str | Sequence[str] = (),
    image: bytes | str | Path | Sequence[bytes | str | Path] = (),
    vector: NDArray[Any] | None = None,
    like: str | Origin | Sequence[str | Origin] = (),
    negative: str | Sequence[str] = (),
) -> list[QueryPart]:
    """One part each, in this order and of equal weight; `negative` texts lead away with
    NEGATIVE_WEIGHT. A `like` is the uri of what is stored, or its origin.

    Raises BadInput where nothing is looked for, and for a file that can't be read.
    """
    texts = [text] if isinstance(text, str) else text
    images = [image] if isinstance(image, bytes | str | Path) else image
    stored = [like] if isinstance(like, str | Origin) else like
    away = [negative] if isinstance(negative, str) else negative
    parts = [QueryPart(text=one) for one in texts]
    parts += [QueryPart(image=read_image(one)) for one in images]
    if vector is not None:
        if np.ndim(vector) != 1:
            raise BadInput(
                f"A query vector is one row of numbers, not an array of shape {np.shape(vector)}."
            )
        parts.append(QueryPart(vector=np.asarray(vector, np.float32)))
    parts += [QueryPart(like=Origin(one) if isinstance(one, str) else one) for one in stored]
    if not parts:
        raise BadInput("A search needs a text, an image, a vector or a stored image to be like.")
    parts += [QueryPart(text=one, weight=NEGATIVE_WEIGHT) for one in away]
    return parts
