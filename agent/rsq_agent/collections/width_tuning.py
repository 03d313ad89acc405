"""The least search widths that hold a recall on a shard's own vectors.

1. Queries are made near and far from stored vectors, as images and texts are.
2. Exact search tells each one's 10 best, and by them whether it is near or far.
3. Of each kind, without a filter and with a wide and a narrow one, the least width that holds the
   recall is kept.

The hardest filters that the graph answers leave a little more than those whose points are compared
one by one; of more the graph loses less. Where no width holds the recall, since some points are out
of reach, the least is kept that finds nearly as much as any.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from rsq.retrieval import BoundingBox
from rsq_agent.collections.conditions import Condition, During
from rsq_agent.collections.sample_queries import DISTANCES, displace
from rsq_agent.collections.search_widths import (
    DEFAULT_WIDTHS,
    WIDE_SHARE,
    SearchWidths,
    WidthPair,
)
from rsq_agent.collections.shard import EXACT_POINTS, Shard, ShardPoint, are_near
from rsq_agent.collections.stored_payload import TIME, to_hit
from rsq_agent.collections.stored_place import NO_EXTENTS, curve_conditions, near_conditions

TARGET_RECALL = 0.99
K = 10
_LADDER = (32, 48, 64, 96, 128, 160, 192, 256, 320, 384, 512, 640, 768, 1024)
_MARGIN = 0.3  # of what may be missed, since the recall of a sample is off by some tenths of it
_OUT_OF_REACH = 0.3  # of what may be missed is given up where wider searches find little more
_QUERIES = 120  # per kind of filter: half near, half far
_LEAST_QUERIES = 20  # fewer tell too little
_SECONDS = 30.0  # of exact search, for each of the three measurements
_SAMPLED_POINTS = 400
# Equal vectors may be found in another order.
_SCORE_TOLERANCE = 1e-5
_HARDEST = 1.25  # times the share that is compared one by one, since filters differ in theirs
_MOST_SHARE = 0.5
_SEED = 20261124

MakeFilter = Callable[[random.Random], tuple[Condition, ...]]


@dataclass(frozen=True)
class _Query:
    vector: NDArray[np.float32]
    conditions: tuple[Condition, ...]
    least_score: float  # of its K best; whatever scores as much belongs to them
    wanted: int
    near: bool


def tune_widths(
    shard: Shard, *, target: float = TARGET_RECALL, seconds: float = _SECONDS
) -> SearchWidths:
    """The widths for recall@10 of `target`; a kind that too few queries fell into keeps its
    default. Takes up to about four times `seconds`."""
    points = _sample(shard)
    hardest = _HARDEST * EXACT_POINTS / max(1, shard.count())

    def measure(make_filter: MakeFilter | None, default: WidthPair) -> WidthPair:
        if make_filter is None:
            return default
        queries = _make_queries(shard, points, make_filter, seconds)
        return _choose_pair(shard, queries, target, default)

    wide, narrow = _find_filter(points, max(WIDE_SHARE, hardest)), _find_filter(points, hardest)
    return SearchWidths(
        plain=measure(lambda source: (), DEFAULT_WIDTHS.plain),
        wide=measure(wide, DEFAULT_WIDTHS.wide),
        narrow=measure(narrow, DEFAULT_WIDTHS.narrow),
    )


def _sample(shard: Shard) -> list[ShardPoint]:
    """Ids are digests, so the points next to random ids are a fair sample."""
    source = random.Random(_SEED)  # noqa: S311
    found: dict[UUID, ShardPoint] = {}
    for _ in range(_SAMPLED_POINTS):
        points, _ = shard.scroll(UUID(int=source.getrandbits(128)), limit=1)
        found.update((point.id, point) for point in points)
    return list(found.values())


def _make_queries(
    shard: Shard, points: Sequence[ShardPoint], make_filter: MakeFilter, seconds: float
) -> list[_Query]:
    source = random.Random(_SEED)  # noqa: S311
    queries: list[_Query] = []
    end = time.monotonic() + seconds
    for place, point in enumerate(points[:_QUERIES]):
        if time.monotonic() > end:
            break
        vector = displace(point.vector, DISTANCES[place % len(DISTANCES)], place)
        conditions = make_filter(source)
        hits = shard.search(vector, limit=K, conditions=conditions, exact=True)
        if hits:
            queries.append(_Query(vector, conditions, hits[-1].score, len(hits), are_near(hits, K)))
    return queries


def _choose_pair(
    shard: Shard, queries: Sequence[_Query], target: float, default: WidthPair
) -> WidthPair:
    near = _choose_width(shard, [query for query in queries if query.near], target)
    far = _choose_width(shard, [query for query in queries if not query.near], target)
    if near is None and far is None:
        return default
    far = far or max(default.far, near or 0)
    return WidthPair(near=min(near or far, far), far=far)


def _choose_width(shard: Shard, queries: Sequence[_Query], target: float) -> int | None:
    """None where the queries are too few."""
    if len(queries) < _LEAST_QUERIES:
        return None
    recalls: dict[int, float] = {}
    for width in _LADDER:
        recalls[width] = _recall(shard, queries, width)
        if recalls[width] >= target + _MARGIN * (1 - target):
            return width
    enough = max(recalls.values()) - _OUT_OF_REACH * (1 - target)
    return next(width for width in _LADDER if recalls[width] >= enough)


def _recall(shard: Shard, queries: Sequence[_Query], width: int) -> float:
    found = 0
    for query in queries:
        hits = shard.search(query.vector, limit=K, conditions=query.conditions, width=width)
        found += sum(hit.score >= query.least_score - _SCORE_TOLERANCE for hit in hits[:K])
    return found / sum(query.wanted for query in queries)


def _find_filter(points: Sequence[ShardPoint], share: float) -> MakeFilter | None:
    """What makes filters by place and time that leave about `share` of the points; None where too
    few points have either."""
    share = min(share, _MOST_SHARE)
    payloads = [to_hit(0.0, dict(point.payload), None).payload for point in points]
    places = [(BoundingBox(**p["bbox"]), p.get(TIME)) for p in payloads if "bbox" in p]
    extents = NO_EXTENTS
    for box, taken in places:
        extents = extents.including(box, taken)
    times = sorted(
        (payload[TIME] for payload in payloads if TIME in payload),
        key=lambda text: datetime.fromisoformat(text.upper()),
    )
    has_places = len(places) > len(points) / 2
    has_times = len(times) > len(points) / 2 and len(set(times)) > K
    if has_places and has_times:
        share = share**0.5
    if not has_places and not has_times:
        return None
    middles = np.array([((b.west + b.east) / 2, (b.south + b.north) / 2) for b, _ in places])

    def make(source: random.Random) -> tuple[Condition, ...]:
        conditions: list[Condition] = []
        since = until = None
        if has_times:
            since, until = _during(times, source, share)
            conditions.append(During(TIME, since, until))
        if has_places:
            box = _around(middles, source, share)
            conditions += curve_conditions(box, since, until, extents) or near_conditions(
                box, extents
            )
        return tuple(conditions)

    return make


def _around(middles: NDArray[np.float64], source: random.Random, share: float) -> BoundingBox:
    """A box around one of `middles` [n, 2] that holds about `share` of them."""
    centre = middles[source.randrange(len(middles))]
    spread = middles.std(axis=0) + 1e-6
    reach = np.quantile((np.abs(middles - centre) / spread).max(axis=1), share)
    west, south = (centre - reach * spread).tolist()
    east, north = (centre + reach * spread).tolist()
    return BoundingBox(max(-180.0, west), max(-90.0, south), min(180.0, east), min(90.0, north))


def _during(times: Sequence[str], source: random.Random, share: float) -> tuple[str, str]:
    """A range that holds about `share` of the sorted `times`."""
    count = max(1, round(share * len(times)))
    start = source.randrange(len(times) - count)
    return times[start].upper(), times[start + count].upper()
