"""The least search widths that hold a recall on a shard's own vectors.

1. Queries are made near and far from stored vectors, as images and texts are.
2. Exact search tells each one's 10 best, and by them whether it is near or far.
3. Of each kind, with a filter and without, the least width that holds the recall is kept.

The hardest filters that the graph answers leave a little more than those whose points are compared
one by one; of more the graph loses less.
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
from rsq_agent.collections.sample_queries import DISTANCES, displace
from rsq_agent.collections.search_filter import TIME, Condition, During, Within
from rsq_agent.collections.search_widths import DEFAULT_WIDTHS, SearchWidths, WidthPair
from rsq_agent.collections.shard import Shard, ShardPoint, are_near, scanned_share
from rsq_agent.collections.stored_place import MIDDLE

TARGET_RECALL = 0.99
K = 10
_LADDER = (32, 48, 64, 96, 128, 160, 192, 256, 320, 384, 512, 640, 768, 1024)
_MARGIN = 0.3  # of what may be missed, since the recall of a sample is off by some tenths of it
_QUERIES = 120  # per kind of filter: half near, half far
_LEAST_QUERIES = 20  # fewer tell too little
_SECONDS = 30.0  # of exact search, for each of the two measurements
_SAMPLED_POINTS = 400
# Equal vectors may be found in another order.
_SCORE_TOLERANCE = 1e-5
_HARDEST = 1.25  # times the share that is compared one by one, since filters differ in theirs
_MOST_SHARE = 0.5
_LAST_LATITUDE = 89.9
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
    default. Takes up to about three times `seconds`."""
    points = _sample(shard)
    plain = _make_queries(shard, points, lambda source: (), seconds)
    filtered: list[_Query] = []
    if make_filter := _find_filter(points, _HARDEST * scanned_share(shard.count())):
        filtered = _make_queries(shard, points, make_filter, seconds)
    return SearchWidths(
        plain=_choose_pair(shard, plain, target, DEFAULT_WIDTHS.plain),
        filtered=_choose_pair(shard, filtered, target, DEFAULT_WIDTHS.filtered),
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
    for width in _LADDER:
        if _recall(shard, queries, width) >= target + _MARGIN * (1 - target):
            return width
    return _LADDER[-1]


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
    middles = [point.payload[MIDDLE] for point in points if MIDDLE in point.payload]
    places = np.array([(middle["lon"], middle["lat"]) for middle in middles])
    times = sorted(
        (point.payload[TIME] for point in points if TIME in point.payload),
        key=lambda text: datetime.fromisoformat(text.upper()),
    )
    has_places = len(places) > len(points) / 2
    has_times = len(times) > len(points) / 2 and len(set(times)) > K
    if has_places and has_times:
        share = share**0.5
    if not has_places and not has_times:
        return None

    def make(source: random.Random) -> tuple[Condition, ...]:
        conditions: list[Condition] = []
        if has_places:
            conditions.append(_around(places, source, share))
        if has_times:
            conditions.append(_during(times, source, share))
        return tuple(conditions)

    return make


def _around(places: NDArray[np.float64], source: random.Random, share: float) -> Within:
    """A box around one of `places` [n, 2] that holds about `share` of them."""
    centre = places[source.randrange(len(places))]
    spread = places.std(axis=0) + 1e-6
    reach = np.quantile((np.abs(places - centre) / spread).max(axis=1), share)
    west, south = centre - reach * spread
    east, north = centre + reach * spread
    return Within(
        MIDDLE,
        BoundingBox(
            max(-180.0, float(west)),
            max(-_LAST_LATITUDE, float(south)),
            min(180.0, float(east)),
            min(_LAST_LATITUDE, float(north)),
        ),
    )


def _during(times: Sequence[str], source: random.Random, share: float) -> During:
    """A range that holds about `share` of the sorted `times`."""
    count = max(1, round(share * len(times)))
    start = source.randrange(len(times) - count)
    return During(TIME, times[start].upper(), times[start + count].upper())
