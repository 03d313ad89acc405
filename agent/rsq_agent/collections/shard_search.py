"""A filtered search of a shard: quickly by what is nearly right, then by what is right.

At 100,000 x 256 with a box and a time that leave a tenth, comparing the sides of boxes too takes
two and a half times as long as the middle and the time alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.retrieval import SearchFilter
from rsq_agent.collections.search_filter import find_areas, find_conditions, overlaps
from rsq_agent.collections.shard import Shard, ShardHit
from rsq_agent.collections.stored_place import Extents

# Asked for beside the hits, where a few will not overlap after all.
_SPARE_HITS = 8


def search_shard(
    shard: Shard,
    vector: NDArray[np.float32],
    *,
    where: SearchFilter,
    extents: Extents | None,
    limit: int,
    offset: int,
    **options: Any,
) -> list[ShardHit]:
    """The best `limit` after `offset` better ones that meet `where`, of its polygon the bounding
    box; `options` are those of `Shard.search`. `extents` holds every stored bounding box, None
    where that is not known."""
    strict = find_conditions(where, extents)
    rough = find_conditions(where, extents, roughly=True)
    if rough != strict:
        wanted = offset + limit
        asked = wanted + max(_SPARE_HITS, wanted // 4)
        found = shard.search(vector, limit=asked, conditions=rough, **options)
        areas = find_areas(where)
        kept = [hit for hit in found if overlaps(areas, hit.payload)]
        if len(kept) >= wanted or len(found) < asked:
            return kept[offset:wanted]
    return shard.search(vector, limit=limit, offset=offset, conditions=strict, **options)
