"""Search in domain terms: what goes into a collection and what comes back.

A payload as JSON, in a shard and in `search --json`; a key is absent where nothing was given:
    window    {"x", "y", "width", "height"}          pixels in the source image
    bbox      {"west", "south", "east", "north"}     degrees, WGS84
    datetime  "2024-05-01T10:30:00Z"                 RFC 3339
    tags      ["harbour", ...]
    footprint [[longitude, latitude], ...]           a ring in degrees, WGS84
    stamp     "1048576-1714559400000000000"          changes when the file at the uri does
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.errors import RsqError

DEFAULT_COLLECTION = "default"


@dataclass(frozen=True)
class Window:
    """A tile of an image, in pixels from its upper left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class BoundingBox:
    """Degrees, WGS84. West beyond east crosses the antimeridian, as in RFC 7946, section 5.2."""

    west: float
    south: float
    east: float
    north: float


Position = tuple[float, float]  # longitude, latitude in degrees, WGS84


@dataclass(frozen=True)
class Payload:
    """What is known of a vector's origin; unset parts are None or empty."""

    window: Window | None = None
    bbox: BoundingBox | None = None
    datetime: str | None = None  # RFC 3339
    tags: tuple[str, ...] = ()
    footprint: tuple[Position, ...] = ()  # where the image lies; `bbox` is its envelope
    stamp: str = ""  # changes when the file at the uri does

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value}


def payload_from_json(fields: dict[str, Any]) -> Payload:
    """What `Payload.to_json` wrote."""
    window, bbox = fields.get("window"), fields.get("bbox")
    return Payload(
        window=Window(**window) if window else None,
        bbox=BoundingBox(**bbox) if bbox else None,
        datetime=fields.get("datetime"),
        tags=tuple(fields.get("tags", ())),
        footprint=tuple((float(x), float(y)) for x, y in fields.get("footprint", ())),
        stamp=fields.get("stamp", ""),
    )


@dataclass(frozen=True)
class Origin:
    """An image or a tile of it."""

    uri: str
    window: Window | None = None
    stamp: str = ""  # empty: any


@dataclass(frozen=True)
class SearchFilter:
    """What a hit must meet; all that is set must hold."""

    bbox: BoundingBox | None = None  # what intersects it
    polygon: tuple[Position, ...] = ()  # what intersects it; a ring without holes
    since: str | None = None  # RFC 3339, included
    until: str | None = None  # RFC 3339, excluded
    all_tags: tuple[str, ...] = ()
    any_tags: tuple[str, ...] = ()
    uri_prefix: str = ""


@dataclass(frozen=True)
class Diversity:
    """Maximal marginal relevance: among `fetch` candidates, those near the query and far from each
    other."""

    relevance: float = 0.5  # lambda, 0 to 1; 1 is plain search
    fetch: int = 0  # 0: a multiple of the limit


@dataclass(frozen=True)
class QueryPart:
    """One part of a query: exactly one of `text`, `image`, `vector` and `like`.

    The query vector is the normalised sum of weight x unit vector; a weight below 0 leads away.
    """

    text: str | None = None
    image: bytes | None = None  # an encoded file
    vector: NDArray[np.float32] | None = None  # [dim]
    like: Origin | None = None  # stored in the collection
    weight: float = 1.0


@dataclass(frozen=True)
class SearchOptions:
    """How the hits are chosen."""

    limit: int = 10
    offset: int = 0
    min_score: float | None = None  # cosine
    filter: SearchFilter = SearchFilter()
    per_uri: int = 0  # at most so many hits of one uri; 0: any number
    diversity: Diversity | None = None
    collapse_cosine: float | None = None  # of hits at least so close, the best alone is kept
    exact: bool = False  # compare every vector


@dataclass(frozen=True)
class StoredRecord:
    """A vector as it lies in a collection: float32 [dim], L2-normalised."""

    uri: str
    payload: Payload
    artifact_id: str
    vector: NDArray[np.float32]


@dataclass(frozen=True)
class CollectionExport:
    """`records` arrive as they are asked for, in the order of their ids, and can be read once."""

    space_id: str
    dimension: int
    total: int  # records when the export began
    records: Iterator[StoredRecord]


@dataclass(frozen=True)
class RecallCheck:
    """How often approximate search on a collection finds what exact search finds."""

    recall: float
    queries: int
    k: int
    points: int
    approximate_p50_ms: float
    exact_p50_ms: float
    search_width: int  # hnsw_ef in use
    is_exact: bool  # too few points for a graph


@dataclass(frozen=True)
class Compaction:
    """What a collection took on disk before and after its points were written anew."""

    points: int
    before_bytes: int
    after_bytes: int


@dataclass(frozen=True)
class Migration:
    """A collection's move into another embedding space."""

    collection: str
    state: str  # "running", "ready", "cut_over", "failed"
    old_space_id: str
    new_space_id: str
    model: str
    done: int
    total: int
    failed: int  # images that could not be read
    overlap_at_10: float  # mean over sampled queries; 0 until all is done
    sampled_queries: int
    message: str  # why it failed or what is missing


@dataclass(frozen=True)
class IndexItem:
    uri: str
    image: bytes  # an encoded file
    payload: Payload = field(default_factory=Payload)


@dataclass(frozen=True)
class IndexOutcome:
    uri: str
    error: RsqError | None  # None: the vector is on the agent's disk


@dataclass(frozen=True)
class SearchHit:
    score: float  # cosine
    probability: float  # as the model reads that cosine; 0 where it says nothing of one pair
    uri: str
    payload: Payload
    artifact_id: str  # what made the stored vector


@dataclass(frozen=True)
class CollectionInfo:
    name: str
    space_id: str
    dimension: int
    points: int
    bytes_on_disk: int
    artifacts: dict[str, int]  # vectors by the artifact that made them
