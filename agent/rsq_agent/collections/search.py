"""A search with all its wishes: filtered, grouped by scene, without near-duplicates, diverse.

1. candidates, best first, under what the index itself can tell;
2. those that truly touch the polygon;
3. of near-duplicates, the best;
4. at most so many of one scene;
5. the most diverse, where that was asked for.

Where too few are left, more candidates are fetched. Scenes that have all their hits are left out
then, so that one large scene can't hide the others.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rsq.errors import BadInput
from rsq.retrieval import SearchOptions
from rsq_agent.collections.collection_interface import VectorCollection
from rsq_agent.collections.diversity import collapse, diversify
from rsq_agent.collections.index_points import Hit
from rsq_agent.collections.search_filter import check_filter, polygon_ring, touches

MAX_LIMIT = 1000  # hits of one search
MAX_OFFSET = 10_000
MAX_CANDIDATES = 20_000  # of one round
# Diversity is chosen among so many times the hits asked for.
_DIVERSITY_FACTOR = 4
_GROWTH = 4
_MAX_ROUNDS = 12


def check_options(options: SearchOptions) -> None:
    """Raises BadInput, saying what is wrong."""
    if not 1 <= options.limit <= MAX_LIMIT:
        raise BadInput(f"A search returns 1 to {MAX_LIMIT} hits, not {options.limit}.")
    if not 0 <= options.offset <= MAX_OFFSET:
        raise BadInput(f"The offset of a search is 0 to {MAX_OFFSET}, not {options.offset}.")
    if options.min_score is not None and not -1 <= options.min_score <= 1:
        raise BadInput(f"A threshold is a cosine, -1 to 1, not {options.min_score:g}.")
    if options.collapse_cosine is not None and not 0 < options.collapse_cosine <= 1:
        raise BadInput(
            f"Near-duplicates are told by a cosine above 0, at most 1, not "
            f"{options.collapse_cosine:g}."
        )
    if options.per_uri < 0:
        raise BadInput(f"The hits of one scene are a number, or 0 for all, not {options.per_uri}.")
    diversity = options.diversity
    if diversity is not None and not 0 <= diversity.relevance <= 1:
        raise BadInput(f"The lambda of diversity is 0 to 1, not {diversity.relevance:g}.")
    if diversity is not None and not 0 <= diversity.fetch <= MAX_CANDIDATES:
        raise BadInput(f"Diversity chooses among up to {MAX_CANDIDATES}, not {diversity.fetch}.")
    check_filter(options.filter)


def find_hits(
    collection: VectorCollection,
    vector: NDArray[np.float32],
    *,
    space_id: str,
    options: SearchOptions,
) -> list[Hit]:
    """The hits of `collection` for `vector` float32 [dim], best first or, with diversity, in the
    order of choice. Raises BadInput and SpaceMismatch.

    Where duplicates or a polygon leave fewer than `options.limit` of MAX_CANDIDATES candidates,
    fewer are returned.
    """
    check_options(options)
    wanted = options.offset + options.limit
    if _is_plain(options):
        return collection.search(
            vector,
            space_id=space_id,
            limit=options.limit,
            offset=options.offset,
            min_score=options.min_score,
            where=options.filter,
            exact=options.exact,
        )
    needed = wanted
    if options.diversity is not None:
        needed = max(wanted, options.diversity.fetch or _DIVERSITY_FACTOR * wanted)
    chosen = _Candidates(collection, vector, space_id, options).choose(needed)
    if options.diversity is not None:
        scores = np.array([hit.score for hit in chosen], np.float32)
        order = diversify(_stack(chosen), scores, options.diversity.relevance, wanted)
        chosen = [chosen[place] for place in order]
    return [replace(hit, vector=None) for hit in chosen[options.offset : wanted]]


def _is_plain(options: SearchOptions) -> bool:
    return not (
        options.filter.polygon
        or options.per_uri
        or options.diversity is not None
        or options.collapse_cosine is not None
    )


@dataclass(frozen=True)
class _Candidates:
    collection: VectorCollection
    vector: NDArray[np.float32]
    space_id: str
    options: SearchOptions

    def choose(self, needed: int) -> list[Hit]:
        """Up to `needed` hits that meet everything but diversity, best first."""
        ring = polygon_ring(self.options.filter.polygon)
        pool: dict[tuple[str, str], Hit] = {}
        full: set[str] = set()
        count = needed
        chosen: list[Hit] = []
        for _ in range(_MAX_ROUNDS):
            found = self._fetch(count, full)
            pool.update((_key(hit), hit) for hit in found if not ring or touches(ring, hit.payload))
            chosen = self._select(sorted(pool.values(), key=lambda hit: -hit.score))
            if len(chosen) >= needed or len(found) < count:
                break
            scenes = Counter(hit.uri for hit in chosen)
            done = {uri for uri, hits in scenes.items() if hits == self.options.per_uri}
            if done <= full and count == MAX_CANDIDATES:
                break
            full |= done
            count = min(count * _GROWTH, MAX_CANDIDATES)
        return chosen[:needed]

    def _fetch(self, count: int, full: set[str]) -> list[Hit]:
        options = self.options
        return self.collection.search(
            self.vector,
            space_id=self.space_id,
            limit=count,
            min_score=options.min_score,
            where=options.filter,
            without_uris=sorted(full),
            exact=options.exact,
            with_vectors=options.diversity is not None or options.collapse_cosine is not None,
        )

    def _select(self, ranked: list[Hit]) -> list[Hit]:
        if self.options.collapse_cosine is not None and ranked:
            ranked = [ranked[i] for i in collapse(_stack(ranked), self.options.collapse_cosine)]
        most = self.options.per_uri or math.inf
        taken: Counter[str] = Counter()
        chosen = []
        for hit in ranked:
            if taken[hit.uri] < most:
                taken[hit.uri] += 1
                chosen.append(hit)
        return chosen


def _key(hit: Hit) -> tuple[str, str]:
    return hit.uri, str(hit.payload.get("window"))


def _stack(hits: list[Hit]) -> NDArray[np.float32]:
    return np.stack([hit.vector for hit in hits if hit.vector is not None])
