"""rsq_agent.indexing.reembedding: what ends up in the shadow, whatever happens to the source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from image_sets import make_png
from numpy.typing import NDArray

from rsq.errors import BadImage, Interrupted, RsqError
from rsq_agent.collections.collection import Collection
from rsq_agent.collections.collection_store import CollectionStore
from rsq_agent.collections.index_points import IndexPoint
from rsq_agent.indexing.index_plan import file_stamp
from rsq_agent.indexing.reembedding import Reembedding
from rsq_agent.indexing.roots import Roots

OLD_SPACE, NEW_SPACE = "5" * 64, "6" * 64
OLD_ARTIFACT, NEW_ARTIFACT = "a" * 64, "b" * 64
DIMENSION = 8
COUNT = 20  # more than one group of images

Rows = list[NDArray[np.float32] | RsqError]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CollectionStore]:
    store = CollectionStore(tmp_path / "collections")
    yield store
    store.close()


@pytest.fixture
def source(store: CollectionStore, tmp_path: Path) -> Collection:
    source = store.create("source", space_id=OLD_SPACE, dimension=DIMENSION)
    (tmp_path / "images").mkdir()
    for number in range(COUNT):
        path = tmp_path / f"images/{number:02}.png"
        path.write_bytes(make_png(number))
        add(source, path)
    return source


@pytest.fixture
def shadow(store: CollectionStore) -> Collection:
    return store.create("shadow", space_id=NEW_SPACE, dimension=DIMENSION)


def add(collection: Collection, path: Path) -> None:
    row = np.eye(DIMENSION, dtype=np.float32)[0]
    stamp = file_stamp(path.stat())
    collection.add([IndexPoint(str(path), row, OLD_ARTIFACT, OLD_SPACE, tags=("a",), stamp=stamp)])


def embed(images: list[bytes]) -> tuple[str, Rows]:
    """By the length of the encoded image, so that a change of it shows."""
    rows: Rows = []
    for image in images:
        row = np.zeros(DIMENSION, np.float32)
        row[len(image) % DIMENSION] = 1
        rows.append(row)
    return NEW_ARTIFACT, rows


def start(
    source: Collection,
    shadow: Collection,
    root: Path,
    *,
    embed: Callable[[list[bytes]], tuple[str, Rows]] = embed,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Reembedding:
    return Reembedding(source, shadow, roots=Roots([root]), embed=embed, is_stopped=is_stopped)


def uris(collection: Collection) -> list[str]:
    return sorted(record.uri for record in collection.scroll(None, limit=1000)[0])


def test_every_image_is_embedded_anew_with_its_payload(
    source: Collection, shadow: Collection, tmp_path: Path
) -> None:
    changes = start(source, shadow, tmp_path).run()
    assert changes == source.changes
    assert uris(shadow) == uris(source)
    (record, *_), _ = shadow.scroll(None, limit=1)
    assert (record.artifact_id, record.payload.tags) == (NEW_ARTIFACT, ("a",))
    assert record.vector[len(Path(record.uri).read_bytes()) % DIMENSION] == 1


def test_a_second_run_embeds_only_what_came_and_removes_what_went(
    source: Collection, shadow: Collection, tmp_path: Path
) -> None:
    start(source, shadow, tmp_path).run()
    embedded = 0

    def count(images: list[bytes]) -> tuple[str, Rows]:
        nonlocal embedded
        embedded += len(images)
        return embed(images)

    new, changed, gone = (tmp_path / f"images/{name}.png" for name in ("new", "03", "04"))
    for number, path in enumerate((new, changed), start=100):
        path.write_bytes(make_png(number, size=(40, 24)))
        add(source, path)
    source.delete([str(gone)])
    start(source, shadow, tmp_path, embed=count).run()
    assert embedded == 2
    assert uris(shadow) == uris(source)
    assert str(new) in uris(shadow)
    assert str(gone) not in uris(shadow)


def test_adding_what_is_missing_keeps_what_the_source_has_no_more(
    source: Collection, shadow: Collection, tmp_path: Path
) -> None:
    start(source, shadow, tmp_path).run()
    before = uris(shadow)
    source.delete(before[:3])
    start(source, shadow, tmp_path).add_missing()
    assert uris(shadow) == before


def test_an_image_that_fails_costs_itself_only(
    source: Collection, shadow: Collection, tmp_path: Path
) -> None:
    missing, outside = tmp_path / "images/05.png", tmp_path / "outside.png"
    missing.unlink()
    outside.write_bytes(make_png(7))
    add(source, outside)

    def fail_some(images: list[bytes]) -> tuple[str, Rows]:
        artifact_id, rows = embed(images)
        bad = make_png(9)
        return artifact_id, [
            BadImage("not decodable") if image == bad else row
            for image, row in zip(images, rows, strict=True)
        ]

    reembedding = start(source, shadow, tmp_path / "images", embed=fail_some)
    reembedding.run()
    failed = {str(missing), str(outside), str(tmp_path / "images/09.png")}
    assert len(reembedding.failures) == len(failed)
    assert set(uris(shadow)) == set(uris(source)) - failed


def test_a_stopped_run_says_so_and_the_next_one_goes_on(
    source: Collection, shadow: Collection, tmp_path: Path
) -> None:
    groups: list[int] = []

    def note(images: list[bytes]) -> tuple[str, Rows]:
        groups.append(len(images))
        return embed(images)

    first = start(source, shadow, tmp_path, embed=note, is_stopped=lambda: bool(groups))
    with pytest.raises(Interrupted):
        first.run()
    assert 0 < shadow.count() < COUNT
    start(source, shadow, tmp_path, embed=note).run()
    assert sum(groups) == COUNT  # nothing twice
    assert shadow.count() == COUNT
