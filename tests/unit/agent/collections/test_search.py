"""Searches with all their wishes, against brute force over what was stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsq.errors import BadInput
from rsq.retrieval import BoundingBox, Diversity, SearchFilter, SearchOptions, Window
from rsq_agent.collections import search as search_module
from rsq_agent.collections.collection import Collection
from rsq_agent.collections.collection_store import CollectionStore
from rsq_agent.collections.index_points import Hit, IndexPoint
from rsq_agent.collections.search import check_options, find_hits

SPACE, ARTIFACT, DIM, SCENES, TILES = "a" * 64, "c" * 64, 8, 6, 40
RANDOM = np.random.default_rng(5)
ROWS = RANDOM.normal(size=(SCENES * TILES, DIM)).astype(np.float32)
ROWS /= np.linalg.norm(ROWS, axis=1, keepdims=True)
QUERY = ROWS[7] + np.float32(0.1)
SCORES = ROWS @ (QUERY / np.linalg.norm(QUERY))
CORNERS = RANDOM.uniform(0, 89, size=(len(ROWS), 2)).tolist()


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    store = CollectionStore(tmp_path_factory.mktemp("collections"))
    collection = store.create("tiles", space_id=SPACE, dimension=DIM)
    collection.add(
        [
            IndexPoint(
                f"/scene{i // TILES}.tif",
                row,
                ARTIFACT,
                SPACE,
                window=Window(i % TILES, 0, 1, 1),
                bbox=BoundingBox(x, y, x + 1, y + 1),
            )
            for i, (row, (x, y)) in enumerate(zip(ROWS, CORNERS, strict=True))
        ]
    )
    yield collection
    store.close()


def find(collection: Collection, **options: Any) -> list[Hit]:
    return find_hits(collection, QUERY, space_id=SPACE, options=SearchOptions(**options))


def place(hit: Hit) -> int:
    return int(hit.uri[len("/scene") : -len(".tif")]) * TILES + int(hit.payload["window"]["x"])


def test_a_page_after_another_goes_on(tiles: Collection) -> None:
    order = np.argsort(-SCORES)
    assert [place(hit) for hit in find(tiles, limit=10, offset=20)] == order[20:30].tolist()


def test_a_polygon_holds_what_touches_it_though_the_candidates_lie_elsewhere(
    tiles: Collection,
) -> None:
    triangle = ((0.0, 0.0), (90.0, 0.0), (0.0, 90.0))
    hits = find(tiles, limit=15, offset=5, filter=SearchFilter(polygon=triangle))
    inside = [i for i, (x, y) in enumerate(CORNERS) if x + y <= 90]
    right = sorted(inside, key=lambda i: -SCORES[i])[5:20]
    assert [place(hit) for hit in hits] == right
    everything = find(tiles, limit=1000, filter=SearchFilter(polygon=triangle))
    assert {place(hit) for hit in everything} == set(inside)


def test_no_scene_gives_more_than_its_share_and_none_is_hidden(tiles: Collection) -> None:
    hits = find(tiles, limit=SCENES * 2, per_uri=2)
    assert Counter(hit.uri for hit in hits) == {f"/scene{i}.tif": 2 for i in range(SCENES)}
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    for scene in range(SCENES):
        best = np.argsort(-SCORES[scene * TILES : (scene + 1) * TILES])[:2] + scene * TILES
        assert [place(hit) for hit in hits if hit.uri == f"/scene{scene}.tif"] == best.tolist()


def test_one_large_scene_does_not_hide_the_others(tmp_path: Path) -> None:
    store = CollectionStore(tmp_path)
    collection = store.create("tiles", space_id=SPACE, dimension=DIM)
    near = [
        IndexPoint("/large", ROWS[7], ARTIFACT, SPACE, window=Window(i, 0, 1, 1))
        for i in range(300)
    ]
    others = [IndexPoint(f"/{i}", ROWS[i], ARTIFACT, SPACE) for i in range(20, 24)]
    collection.add([*near, *others])
    hits = find(collection, limit=5, per_uri=1)
    store.close()
    assert {hit.uri for hit in hits} == {"/large", *(other.uri for other in others)}


def test_near_duplicates_collapse_into_the_best(tiles: Collection) -> None:
    hits = find(tiles, limit=12, collapse_cosine=0.8)
    kept: list[int] = []
    for candidate in np.argsort(-SCORES):
        if all(ROWS[candidate] @ ROWS[other] < 0.8 for other in kept):
            kept.append(int(candidate))
    assert [place(hit) for hit in hits] == kept[:12]
    assert all(hit.vector is None for hit in hits)


def test_diverse_hits_begin_with_the_best_and_are_less_alike(tiles: Collection) -> None:
    plain = find(tiles, limit=8)
    diverse = find(tiles, limit=8, diversity=Diversity(0.3, 100))
    assert diverse[0].uri == plain[0].uri

    def likeness(hits: list[Hit]) -> float:
        rows = ROWS[[place(hit) for hit in hits]]
        return float((rows @ rows.T).sum())

    assert likeness(diverse) < likeness(plain)
    relevant = find(tiles, limit=8, diversity=Diversity(1.0))
    assert [place(hit) for hit in relevant] == [place(hit) for hit in plain]


def test_a_threshold_holds_with_every_wish(tiles: Collection) -> None:
    bound = float(np.sort(SCORES)[-30])
    for options in ({}, {"per_uri": 100}, {"diversity": Diversity(0.5)}, {"exact": True}):
        hits = find(tiles, limit=100, min_score=bound - 1e-4, **options)
        assert len(hits) == 30


def test_candidates_are_bounded(tiles: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "MAX_CANDIDATES", 20)
    assert 0 < len(find(tiles, limit=10, collapse_cosine=0.2)) < 10


@pytest.mark.parametrize(
    "options",
    [
        {"limit": 0},
        {"limit": 1001},
        {"offset": -1},
        {"offset": 10_001},
        {"min_score": 1.5},
        {"min_score": float("nan")},
        {"collapse_cosine": 0.0},
        {"per_uri": -1},
        {"diversity": Diversity(1.1)},
        {"diversity": Diversity(0.5, -1)},
        {"filter": SearchFilter(bbox=BoundingBox(0, 9, 1, 8))},
    ],
)
def test_a_wish_out_of_bounds_is_refused(options: dict[str, Any]) -> None:
    check_options(SearchOptions())
    with pytest.raises(BadInput):
        check_options(replace(SearchOptions(), **options))
