"""Search in domain terms: what goes into a collection and what comes back.

A payload as JSON, in a shard and in `search --json`; a key is absent where nothing was given:
    window    {"x", "y", "width", "height"}          pixels in the source image
    bbox      {"west", "south", "east", "north"}     degrees, WGS84
    datetime  "2024-05-01T10:30:00Z"                 RFC 3339
    tags      ["harbour", ...]
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

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


@dataclass(frozen=True)
class Payload:
    """What is known of a vector's origin; unset parts are None or empty."""

    window: Window | None = None
    bbox: BoundingBox | None = None
    datetime: str | None = None  # RFC 3339
    tags: tuple[str, ...] = ()

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
    )


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
