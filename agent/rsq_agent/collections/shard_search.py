"""A filtered search of a shard: by what is nearly right, of which what is right is kept."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.retrieval import SearchFilter
from rsq_agent.collections.index_points import Hit
from rsq_agent.collections.search_filter import find_areas, find_conditions, overlaps
from rsq_agent.collections.shard import Shard
from rsq_agent.collections.stored_payload import to_hit
from rsq_agent.collections.stored_place import Extents, curve_conditions, near_conditions

# Where one of the conditions alone leaves fewer points, the others are tried on these, which took
# half a millisecond for 10,000 of 100,000; the curve would only bring more of them.
_MANY_POINTS = 20_000
# Asked for as a multiple of what is wanted, and so many more: by place few hits do not overlap
# after all, by the curve four of five.
_FACTOR, _CURVE_FACTOR = 2, 5
_SPARE_HITS = 8
_GROWTH = 4


def search_shard(
    shard: Shard,
    vector: NDArray[np.float32],
    *,
    where: SearchFilter,
    extents: Extents,
    limit: int,
    offset: int,
    **options: Any,
) -> list[Hit]:
    """The best `limit` after `offset` better ones that meet `where`, of its polygon the bounding
    box; `options` are those of `Shard.search`. `extents` holds every stored place."""
    areas = find_areas(where)
    conditions = find_conditions(where, partial(near_conditions, extents=extents))
    if not areas:
        found = shard.search(vector, limit=limit, offset=offset, conditions=conditions, **options)
        return [to_hit(hit.score, hit.payload, hit.vector) for hit in found]
    curve = partial(curve_conditions, since=where.since, until=where.until, extents=extents)
    by_curve = all(map(curve, areas)) and all(
        shard.estimate([condition]) >= _MANY_POINTS for condition in conditions
    )
    if by_curve:
        conditions = find_conditions(where, curve)
    wanted = offset + limit
    asked = (_CURVE_FACTOR if by_curve else _FACTOR) * wanted + _SPARE_HITS
    while True:
        found = shard.search(
            vector,
            limit=wanted,
            spare=asked - wanted,
            conditions=conditions,
            dependent=by_curve,
            **options,
        )
        hits = (to_hit(hit.score, hit.payload, hit.vector) for hit in found)
        kept = list(islice((hit for hit in hits if overlaps(areas, hit.payload)), wanted))
        if len(kept) == wanted or len(found) < asked:
            return kept[offset:]
        asked *= _GROWTH
