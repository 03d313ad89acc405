"""What a report shows beyond a version's numbers: samples of similarities, hits, sensitivities.

Publish records them once, as one JSON blob beside the version; nothing but the report reads them.
Artifacts are named by tower and variant, as in "vision int8".
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from typing import Any

from rsq.errors import IntegrityError
from rsq.manifest import canonical_json

SCHEMA = 1


@dataclass(frozen=True)
class SimilaritySample:
    """Cosines of the same text-image pairs by FP32 and by the variant, for a scatter plot, and the
    counts of all sampled cosines in equal bins between `low` and `high`."""

    artifact: str
    fp32: tuple[float, ...]
    variant: tuple[float, ...]
    low: float
    high: float
    fp32_counts: tuple[int, ...]
    variant_counts: tuple[int, ...]


@dataclass(frozen=True)
class Hit:
    """`image` is a key of `Details.thumbnails`."""

    image: str
    score: float
    relevant: bool | None  # whether it is the query's own image, or has its label; None: unknown


@dataclass(frozen=True)
class QueryHits:
    """The first images that each pair of variants finds for one query; `pairs` by variant, both
    towers alike, "fp32" among them."""

    query: str
    pairs: dict[str, tuple[Hit, ...]]


@dataclass(frozen=True)
class BlockSensitivity:
    """What quantizing one block of a tower alone costs. `embedding_error` is 1 - mean cosine to
    FP32; `retrieval_loss` is 1 - overlap@10 against FP32; `kept` is the precision that the search
    chose for it."""

    tower: str
    block: str
    embedding_error: float
    retrieval_loss: float
    kept: str


@dataclass(frozen=True)
class SearchTrial:
    """One assignment that the search for a mixed variant measured."""

    tower: str
    kept: tuple[str, ...]  # the blocks at higher precision
    cost: float  # of the cost model, in units of the all-INT8 tower
    accuracy: float  # overlap@10 against FP32 on the calibration images
    chosen: bool


@dataclass(frozen=True)
class Details:
    dataset: str
    dataset_digest: str
    similarities: tuple[SimilaritySample, ...] = ()
    hits: tuple[QueryHits, ...] = ()
    sensitivities: tuple[BlockSensitivity, ...] = ()
    trials: tuple[SearchTrial, ...] = ()
    notes: tuple[str, ...] = ()  # warnings of the publish, such as an unlike calibration set
    thumbnails: dict[str, bytes] | None = None  # JPEG files by name


def encode_details(details: Details) -> bytes:
    fields = asdict(details)
    fields["thumbnails"] = {
        name: base64.b64encode(data).decode() for name, data in (details.thumbnails or {}).items()
    }
    return canonical_json({"schema": SCHEMA, **fields})


def decode_details(data: bytes) -> Details:
    """Raises IntegrityError for bytes that `encode_details` did not make."""
    try:
        fields = json.loads(data)
        return _build(fields)
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise IntegrityError("The version's report data is damaged.") from e


def _build(fields: dict[str, Any]) -> Details:
    return Details(
        dataset=fields["dataset"],
        dataset_digest=fields["dataset_digest"],
        similarities=tuple(_similarity(item) for item in fields["similarities"]),
        hits=tuple(
            QueryHits(
                item["query"],
                {name: tuple(Hit(**hit) for hit in hits) for name, hits in item["pairs"].items()},
            )
            for item in fields["hits"]
        ),
        sensitivities=tuple(BlockSensitivity(**item) for item in fields["sensitivities"]),
        trials=tuple(
            SearchTrial(**{**item, "kept": tuple(item["kept"])}) for item in fields["trials"]
        ),
        notes=tuple(fields["notes"]),
        thumbnails={
            name: base64.b64decode(text, validate=True)
            for name, text in fields["thumbnails"].items()
        },
    )


def _similarity(item: dict[str, Any]) -> SimilaritySample:
    lists = ("fp32", "variant", "fp32_counts", "variant_counts")
    return SimilaritySample(**{**item, **{name: tuple(item[name]) for name in lists}})
