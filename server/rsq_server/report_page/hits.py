"""What each pair of variants finds for the same query, side by side with what FP32 finds."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rsq_server.details import Details, Hit, QueryHits
from rsq_server.report_page.variants import REFERENCE, order_variants


@dataclass(frozen=True)
class Picture:
    """A hit with its thumbnail as a data: URI, empty where it was not recorded. `moved` says where
    FP32 has the image if not here; `relevant` is None where nobody knows."""

    source: str
    description: str
    score: str
    relevant: bool | None
    moved: str


@dataclass(frozen=True)
class PairHits:
    variant: str
    mark: str
    summary: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Query:
    text: str
    pairs: tuple[PairHits, ...]


def show_hits(details: Details, colours: Mapping[str, str]) -> list[Query]:
    sources = {
        name: f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
        for name, data in (details.thumbnails or {}).items()
    }
    return [Query(query.query, _show_pairs(query, sources, colours)) for query in details.hits]


def _show_pairs(
    query: QueryHits, sources: Mapping[str, str], colours: Mapping[str, str]
) -> tuple[PairHits, ...]:
    reference = [hit.image for hit in query.pairs.get(REFERENCE, ())]
    pairs = []
    for variant in order_variants(query.pairs):
        hits = query.pairs[variant]
        places = reference if variant != REFERENCE else [hit.image for hit in hits]
        moves = [_describe_move(hit, place, places) for place, hit in enumerate(hits)]
        pictures = tuple(
            _show_picture(hit, place, sources, moved)
            for place, (hit, moved) in enumerate(zip(hits, moves, strict=True))
        )
        summary = _summarize(variant, moves, reference)
        pairs.append(PairHits(variant, colours.get(variant, "v0"), summary, pictures))
    return tuple(pairs)


def _show_picture(hit: Hit, place: int, sources: Mapping[str, str], moved: str) -> Picture:
    right = {True: ", right", False: ", not what was asked for", None: ""}[hit.relevant]
    return Picture(
        source=sources.get(hit.image, ""),
        description=f"Hit {place + 1}: image {hit.image}, cosine {hit.score:.4f}{right}",
        score=f"{hit.score:.4f}".replace("-", "\N{MINUS SIGN}"),
        relevant=hit.relevant,
        moved=moved,
    )


def _describe_move(hit: Hit, place: int, reference: Sequence[str]) -> str:
    if not reference or (place < len(reference) and reference[place] == hit.image):
        return ""
    if hit.image not in reference:
        return "new"
    return f"was {reference.index(hit.image) + 1}"


def _summarize(variant: str, moves: Sequence[str], reference: Sequence[str]) -> str:
    if variant == REFERENCE:
        return "the reference"
    if not reference:
        return ""
    moved, new = sum(move.startswith("was") for move in moves), list(moves).count("new")
    parts = [f"{moved} moved" if moved else "", f"{new} new" if new else ""]
    return ", ".join(filter(None, parts)) or "as FP32"
