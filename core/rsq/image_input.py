"""Images as callers of the client give them: encoded files, their paths, preprocessed pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.errors import BadInput
from rsq.v1 import embedding_pb2

ImageInput = bytes | str | Path | NDArray[Any]
ITEMS_PER_CALL = 64  # longer lists are split, so one call stays short and small
BYTES_PER_CALL = 16 << 20


def image_to_pb(image: ImageInput) -> embedding_pb2.Image:
    """An array is float32 [3, h, w], preprocessed as the model's manifest says. Raises BadInput."""
    if not isinstance(image, np.ndarray):
        return embedding_pb2.Image(encoded=read_image(image))
    if image.dtype != np.float32 or image.ndim != 3 or image.shape[0] != 3:
        raise BadInput(
            f"An array of pixels is float32 [3, h, w], not {image.dtype} {list(image.shape)}."
        )
    data = image.astype("<f4").tobytes()
    return embedding_pb2.Image(raw=embedding_pb2.RawImage(data=data))


def read_image(image: bytes | str | Path) -> bytes:
    """The bytes of an encoded image, given as such or by path. Raises BadInput."""
    if isinstance(image, bytes):
        return image
    try:
        return Path(image).read_bytes()
    except OSError as e:
        raise BadInput(f"{image} can't be read: {e.strerror}.") from e


def group_images(
    images: Sequence[ImageInput],
) -> Iterator[tuple[int, list[embedding_pb2.Image]]]:
    """(index of the first, images of one call): groups bounded in count and bytes.

    Raises BadInput.
    """
    group: list[embedding_pb2.Image] = []
    size_bytes = 0
    start = 0
    for index, image in enumerate(images):
        message = image_to_pb(image)
        count_bytes = message.ByteSize()
        if group and (len(group) == ITEMS_PER_CALL or size_bytes + count_bytes > BYTES_PER_CALL):
            yield start, group
            group, size_bytes, start = [], 0, index
        group.append(message)
        size_bytes += count_bytes
    if group:
        yield start, group
