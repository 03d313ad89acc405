"""Collections on this node's disk and in a Qdrant cluster answer alike.

The cluster is qdrant-client's local mode, which evaluates the same filters in Python but compares
every vector; a Qdrant server is not to be had from the package index.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qdrant_client import QdrantClient

from rsq.errors import BadInput, EnvironmentFault, NotFound, SpaceMismatch
from rsq.retrieval import BoundingBox, Origin, SearchFilter, Window, payload_from_json
from rsq_agent.collections.cluster_store import ClusterStore
from rsq_agent.collections.collection_interface import VectorCollection, VectorCollections
from rsq_agent.collections.collection_store import CollectionStore
from rsq_agent.collections.index_points import IndexPoint

SPACE, OTHER_SPACE = "a" * 64, "b" * 64
ARTIFACT, OTHER_ARTIFACT = "c" * 64, "d" * 64
DIM = 8

# What local mode says of itself.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
]


@pytest.fixture(params=["node", "cluster"])
def collections(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorCollections]:
    store: VectorCollections = (
        CollectionStore(tmp_path)
        if request.param == "node"
        else ClusterStore(QdrantClient(":memory:"))
    )
    yield store
    store.close()


@pytest.fixture
def ships(collections: VectorCollections) -> VectorCollection:
    return collections.create("ships", space_id=SPACE, dimension=DIM)


def unit_rows(count: int, seed: int = 0) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def point(number: int, vector: NDArray[np.float32], **changes: Any) -> IndexPoint:
    return replace(IndexPoint(f"/images/{number:03d}.jpg", vector, ARTIFACT, SPACE), **changes)


def find(collection: VectorCollection, **wanted: Any) -> set[str]:
    hits = collection.search(
        unit_rows(1)[0], space_id=SPACE, limit=1000, where=SearchFilter(**wanted)
    )
    return {hit.uri for hit in hits}


def test_a_search_equals_brute_force(ships: VectorCollection) -> None:
    rows = unit_rows(200)
    ships.add([point(number, row) for number, row in enumerate(rows)])
    for query in unit_rows(5, seed=1):
        cosines = rows @ query
        hits = ships.search(query, space_id=SPACE, limit=9, offset=2, with_vectors=True)
        best = np.argsort(-cosines)[2:11]
        assert [hit.uri for hit in hits] == [f"/images/{number:03d}.jpg" for number in best]
        np.testing.assert_allclose([hit.score for hit in hits], cosines[best], atol=1e-5)
        np.testing.assert_allclose(
            [hit.vector for hit in hits if hit.vector is not None], rows[best], atol=1e-6
        )
        bound = float(np.sort(cosines)[-3]) - 1e-4
        assert len(ships.search(query, space_id=SPACE, limit=9, min_score=bound)) == 3


def test_everything_stored_comes_back_and_nothing_else(ships: VectorCollection) -> None:
    full = point(
        1,
        unit_rows(1)[0],
        window=Window(1, 2, 30, 40),
        bbox=BoundingBox(179.5, -1.0, -179.5, 1.0),
        datetime="2024-05-01T10:30:00Z",
        tags=("harbour", "eu"),
        stamp="7-9",
    )
    ships.add([full])
    (hit,) = ships.search(full.vector, space_id=SPACE, limit=3)
    assert (hit.uri, hit.artifact_id) == (full.uri, ARTIFACT)
    assert hit.payload == {
        "window": {"x": 1, "y": 2, "width": 30, "height": 40},
        "bbox": {"west": 179.5, "south": -1.0, "east": -179.5, "north": 1.0},
        "datetime": "2024-05-01T10:30:00Z",
        "tags": ["harbour", "eu"],
        "stamp": "7-9",
    }
    (record,), following = ships.scroll(None, limit=5)
    assert (record.uri, record.payload, following) == (
        full.uri,
        payload_from_json(hit.payload),
        None,
    )
    np.testing.assert_allclose(record.vector, full.vector, atol=1e-6)


def overlaps(box: BoundingBox, other: BoundingBox) -> bool:
    """By brute force over whole turns."""
    west, east = box.west, box.east + 360 * (box.west > box.east)
    start, end = other.west, other.east + 360 * (other.west > other.east)
    beside = any(west <= end + turn and east >= start + turn for turn in (-360, 0, 360))
    return beside and box.south <= other.north and box.north >= other.south


def test_a_box_finds_exactly_what_overlaps_it(ships: VectorCollection) -> None:
    random = np.random.default_rng(3)
    boxes = []
    for width in (0.0, 0.5, 20.0, 200.0):
        for west, south in random.uniform((-180, -80), (180, 70), (60, 2)).tolist():
            east = west + width
            boxes.append(
                BoundingBox(west, south, east - 360 if east > 180 else east, south + width / 20)
            )
    assert any(box.west > box.east for box in boxes)
    rows = unit_rows(len(boxes))
    ships.add([point(i, rows[i], bbox=box) for i, box in enumerate(boxes)])
    ships.add([point(999, rows[0])])
    asked = [
        BoundingBox(10, 20, 30, 40),
        BoundingBox(-180, -90, 180, 90),
        BoundingBox(170, -60, -170, 60),
        BoundingBox(-170, -60, 170, 60),
        BoundingBox(179, -90, 180, 90),
        BoundingBox(boxes[70].west, boxes[70].south, boxes[70].west, boxes[70].south),
    ]
    for box in asked:
        right = {f"/images/{i:03d}.jpg" for i, other in enumerate(boxes) if overlaps(box, other)}
        assert find(ships, bbox=box) == right, box


def test_a_time_range_takes_its_start_and_leaves_its_end(ships: VectorCollection) -> None:
    times = [
        "2024-05-01T00:00:00Z",
        "2024-05-01T01:30:00+02:00",
        "2024-05-31t23:59:59.999z",
        "2024-06-01T00:00:00Z",
        None,
    ]
    rows = unit_rows(len(times))
    ships.add([point(i, rows[i], datetime=time) for i, time in enumerate(times)])
    found = find(ships, since="2024-05-01T00:00:00Z", until="2024-06-01T00:00:00Z")
    assert found == {"/images/000.jpg", "/images/002.jpg"}
    assert find(ships, until="2024-05-01T00:00:00Z") == {"/images/001.jpg"}
    assert find(ships, since="2024-06-01T02:00:00+02:00") == {"/images/003.jpg"}


def test_tags_are_all_or_any_and_a_prefix_is_text(ships: VectorCollection) -> None:
    rows = unit_rows(4)
    tags = [("a", "b"), ("b",), ("c",), ()]
    ships.add([point(i, rows[i], tags=tags[i], uri=f"/x{i % 2}/{i}") for i in range(4)])
    assert find(ships, all_tags=("a", "b")) == {"/x0/0"}
    assert find(ships, any_tags=("a", "c")) == {"/x0/0", "/x0/2"}
    assert find(ships, all_tags=("b",), any_tags=("b", "c"), uri_prefix="/x1/") == {"/x1/1"}
    assert find(ships, uri_prefix="/x") == {"/x0/0", "/x1/1", "/x0/2", "/x1/3"}
    hits = ships.search(rows[0], space_id=SPACE, limit=9, without_uris=["/x0/0", "/x1/3"])
    assert {hit.uri for hit in hits} == {"/x1/1", "/x0/2"}


def test_adding_again_replaces_and_deleting_removes(ships: VectorCollection) -> None:
    rows = unit_rows(4)
    ships.add([point(i, row, stamp="1") for i, row in enumerate(rows)])
    ships.add([point(0, rows[0], artifact_id=OTHER_ARTIFACT, stamp="2")])
    assert ships.stats().artifacts == {ARTIFACT: 3, OTHER_ARTIFACT: 1}
    origins = [Origin("/images/000.jpg", stamp="2"), Origin("/images/001.jpg", stamp="2")]
    assert ships.find_stored([*origins, Origin("/nowhere")]) == [True, False, False]
    assert ships.delete_outdated(origins) == 1
    assert ships.delete(["/images/002.jpg", "/nowhere"]) == 1
    assert ships.delete_prefix("/images/") == 2
    assert (ships.count(), ships.stats().artifacts) == (0, {})


def test_a_stored_vector_is_given_out_and_a_missing_one_is_named(ships: VectorCollection) -> None:
    row = unit_rows(1)[0]
    ships.add([point(1, row, window=Window(0, 0, 5, 5))])
    stored = ships.stored_vector(Origin("/images/001.jpg", Window(0, 0, 5, 5)))
    np.testing.assert_allclose(stored, row, atol=1e-6)
    with pytest.raises(NotFound, match=r"001\.jpg"):
        ships.stored_vector(Origin("/images/001.jpg"))


def test_another_space_is_refused_even_at_equal_dimension(
    collections: VectorCollections, ships: VectorCollection
) -> None:
    row = unit_rows(1)[0]
    with pytest.raises(SpaceMismatch):
        ships.add([point(0, row), point(1, row, space_id=OTHER_SPACE)])
    with pytest.raises(SpaceMismatch):
        ships.search(row, space_id=OTHER_SPACE, limit=1)
    with pytest.raises(SpaceMismatch, match="another collection"):
        collections.open_or_create("ships", space_id=OTHER_SPACE, dimension=DIM)
    assert ships.count() == 0


@pytest.mark.parametrize("broken", [np.full(DIM, np.nan), np.ones(DIM + 1), np.zeros(DIM)])
def test_a_broken_vector_is_refused(ships: VectorCollection, broken: NDArray[Any]) -> None:
    vector = broken.astype(np.float32)
    with pytest.raises(BadInput):
        ships.add([point(0, vector)])
    with pytest.raises(BadInput):
        ships.search(vector, space_id=SPACE, limit=1)
    assert ships.count() == 0


def test_collections_are_made_named_opened_and_dropped(collections: VectorCollections) -> None:
    with pytest.raises(NotFound, match="harbours"):
        collections.open("harbours")
    made = collections.open_or_create("harbours", space_id=SPACE, dimension=DIM)
    made.add([point(0, unit_rows(1)[0])])
    collections.create("airports", space_id=OTHER_SPACE, dimension=DIM)
    with pytest.raises(BadInput, match="already"):
        collections.create("harbours", space_id=SPACE, dimension=DIM)
    with pytest.raises(BadInput, match="not a collection name"):
        collections.create("../up", space_id=SPACE, dimension=DIM)
    assert collections.names() == ["airports", "harbours"]
    again = collections.open("harbours")
    assert (again.space_id, again.dimension, again.count()) == (SPACE, DIM, 1)
    collections.drop("harbours")
    assert collections.names() == ["airports"]
    collections.close()
    collections.close()
    with pytest.raises(EnvironmentFault, match="closed"):
        collections.open("airports")
