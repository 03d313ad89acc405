"""What a collection holds: one vector with where it came from, and the hits that come back.

Payloads are stored as the JSON that `rsq.retrieval` describes.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.digest import require_digest
from rsq.errors import BadInput, NotFound, SpaceMismatch
from rsq.retrieval import BoundingBox, Origin, Payload, Position, Window
from rsq_agent.results.outline import find_bbox, find_outline

MAX_URI_BYTES = 4096  # Linux's PATH_MAX
MAX_TAGS = 64
MAX_TAG_CHARACTERS = 256
MAX_CORNERS = 1000
MAX_STAMP_CHARACTERS = 128
MAX_TIME_CHARACTERS = 64
MAX_PIXEL = (1 << 32) - 1  # the wire carries windows as uint32

# How far a vector's norm may be from 1: float16 on the wire rounds by 2^-11.
NORM_TOLERANCE = 1e-3

# Names the ids below; changing it would make every stored image a second point.
_ID_NAMESPACE = uuid.UUID("6f1b6c0e-8f3f-5c3c-9d6b-2f6f0a3f7a51")
_RFC3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)


@dataclass(frozen=True)
class IndexPoint:
    """One image or tile to store. `vector` is float32 [dim], L2-normalised."""

    uri: str
    vector: NDArray[np.float32]
    artifact_id: str
    space_id: str
    window: Window | None = None
    bbox: BoundingBox | None = None
    datetime: str | None = None
    tags: tuple[str, ...] = ()
    footprint: tuple[Position, ...] = ()
    stamp: str = ""


@dataclass(frozen=True)
class Hit:
    """One answer of a search. `score` is the cosine, -1 to 1; `payload` is JSON of
    `rsq.retrieval.Payload`."""

    score: float
    uri: str
    artifact_id: str
    payload: dict[str, Any] = field(default_factory=dict)
    vector: NDArray[np.float32] | None = field(default=None, compare=False)  # where asked for


def point_id(uri: str, window: Window | None = None) -> uuid.UUID:
    """The id of that image or tile: the same in every collection, so adding again replaces."""
    tile = "" if window is None else f"{window.x},{window.y},{window.width},{window.height}"
    return uuid.uuid5(_ID_NAMESPACE, f"{uri}\0{tile}")


def check_uri(uri: str) -> str:
    """`uri` unchanged; raises BadInput for one that is empty, too long or not Unicode text."""
    try:
        size_bytes = len(uri.encode())
    except UnicodeEncodeError as e:
        raise BadInput(f"The file name {uri!a} is not valid UTF-8, so it can't be indexed.") from e
    if not 1 <= size_bytes <= MAX_URI_BYTES:
        raise BadInput(f"A uri has {size_bytes} bytes; it needs 1 to {MAX_URI_BYTES}.")
    if "\0" in uri:
        raise BadInput("A uri holds a zero byte.")
    return uri


def check_vector(vector: NDArray[np.float32], dimension: int) -> NDArray[np.float32]:
    """`vector` as float32 [dimension]; raises BadInput for another shape, NaN and infinity."""
    array = np.asarray(vector)
    if array.shape != (dimension,):
        shape = "x".join(str(size) for size in array.shape) or "no"
        raise BadInput(f"The vector has {shape} values; this collection holds {dimension}.")
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        raise BadInput("The vector holds something else than finite floating-point numbers.")
    return array.astype(np.float32, copy=False)


def check_space(given: str, expected: str) -> None:
    """Raises SpaceMismatch unless both are one embedding space."""
    if given != expected and require_digest(given):
        raise SpaceMismatch(
            f"The vector belongs to space {given[:12]} and the collection to {expected[:12]}: "
            "vectors of two models can't be compared, even at the same dimension.",
            metadata={"space_id": given, "collection_space_id": expected},
        )


def require_stored(
    vector: NDArray[np.float32] | None, origin: Origin, collection: str
) -> NDArray[np.float32]:
    """`vector`; raises NotFound where it is None."""
    if vector is None:
        tile = "" if origin.window is None else " with that window"
        raise NotFound(
            f"The collection {collection!r} holds no vector of {origin.uri!r}{tile}; index it "
            "first, or search with the image itself."
        )
    return vector


def check_point(point: IndexPoint, *, space_id: str, dimension: int) -> None:
    """Raises BadInput and SpaceMismatch unless a collection of both can store `point`."""
    _check_points([point], space_id, dimension)


def admit_points(
    points: Sequence[IndexPoint], *, space_id: str, dimension: int
) -> dict[uuid.UUID, tuple[IndexPoint, NDArray[np.float32]]]:
    """`points` by their ids, of equal ones the last: each with a bounding box where it has a place,
    and its vector as float32 [dimension]. Raises BadInput and SpaceMismatch unless all pass."""
    if not points:
        return {}
    vectors = _check_points(points, space_id, dimension)
    return {
        point_id(point.uri, point.window): (_with_bbox(point), vector)
        for point, vector in zip(points, vectors, strict=True)
    }


def _check_points(
    points: Sequence[IndexPoint], space_id: str, dimension: int
) -> NDArray[np.float32]:
    """The vectors of `points`, at least one, as rows [n, dimension]."""
    for point in points:
        check_uri(point.uri)
        check_space(point.space_id, space_id)
        require_digest(point.artifact_id)
        _check_payload(point)
    vectors = [np.asarray(point.vector) for point in points]
    if all(row.dtype == np.float32 and row.shape == (dimension,) for row in vectors):
        rows = np.stack(vectors)
        with np.errstate(over="ignore"):
            lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        if (abs(lengths - 1) <= NORM_TOLERANCE).all():  # of none with NaN or infinity
            return rows
    return np.stack([_check_unit(point, dimension) for point in points])


def _check_unit(point: IndexPoint, dimension: int) -> NDArray[np.float32]:
    vector = check_vector(point.vector, dimension)
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    if abs(norm - 1) > NORM_TOLERANCE:
        raise BadInput(f"The vector of {point.uri!r} has length {norm:.4g} instead of 1.")
    return vector


def _with_bbox(point: IndexPoint) -> IndexPoint:
    if point.bbox is None and point.footprint:
        outline = find_outline(Payload(footprint=point.footprint))
        return replace(point, bbox=find_bbox(outline))
    return point


def payload_of(point: IndexPoint) -> dict[str, Any]:
    """The payload of an admitted `point`, as JSON values."""
    payload: dict[str, Any] = {}
    if point.window is not None:
        payload["window"] = dict(vars(point.window))
    if point.bbox is not None:
        payload["bbox"] = dict(vars(point.bbox))  # asdict takes ten times as long
    if point.datetime is not None:
        payload["datetime"] = point.datetime
    if point.tags:
        payload["tags"] = list(point.tags)
    if point.footprint:
        payload["footprint"] = [list(corner) for corner in point.footprint]
    if point.stamp:
        payload["stamp"] = point.stamp
    return payload


def _check_payload(point: IndexPoint) -> None:
    window, bbox = point.window, point.bbox
    if window is not None and not (
        0 <= window.x <= MAX_PIXEL
        and 0 <= window.y <= MAX_PIXEL
        and 1 <= window.width <= MAX_PIXEL
        and 1 <= window.height <= MAX_PIXEL
    ):
        raise BadInput(f"The window of {point.uri!r} is empty or outside its image.")
    # Comparisons with NaN are false, so this refuses it too.
    if bbox is not None and not (
        -180 <= bbox.west <= 180
        and -180 <= bbox.east <= 180
        and -90 <= bbox.south <= bbox.north <= 90
    ):
        raise BadInput(f"The bounding box of {point.uri!r} is not in degrees, south before north.")
    if point.datetime is not None and not is_rfc3339(point.datetime):
        raise BadInput(f"{point.datetime[:40]!r} is not a time such as 2024-05-01T10:30:00Z.")
    if point.footprint and not (
        3 <= len(point.footprint) <= MAX_CORNERS
        and all(-180 <= x <= 180 and -90 <= y <= 90 for x, y in point.footprint)
    ):
        raise BadInput(
            f"The footprint of {point.uri!r} is not a ring of 3 to {MAX_CORNERS} positions "
            "in degrees."
        )
    if len(point.stamp) > MAX_STAMP_CHARACTERS:
        raise BadInput(f"The stamp of {point.uri!r} is over {MAX_STAMP_CHARACTERS} characters.")
    if len(point.tags) > MAX_TAGS:
        raise BadInput(f"{point.uri!r} has {len(point.tags)} tags; at most {MAX_TAGS} are kept.")
    if not all(1 <= len(tag) <= MAX_TAG_CHARACTERS for tag in point.tags):
        raise BadInput(f"A tag of {point.uri!r} is empty or over {MAX_TAG_CHARACTERS} characters.")


def is_rfc3339(text: str) -> bool:
    """With date, time and zone, and no more than MAX_TIME_CHARACTERS."""
    return len(text) <= MAX_TIME_CHARACTERS and _is_rfc3339(text)


@lru_cache(4096)  # tiles of one scene share theirs
def _is_rfc3339(text: str) -> bool:
    if not _RFC3339.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text.upper())
    except ValueError:
        return False
    return True
