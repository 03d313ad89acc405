"""A collection's move to another model, as a piece of work that `crash_matrix` interrupts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from file_faults import Tell
from numpy.typing import NDArray
from tiny_artifacts import DIMENSION, SPACE_ID, build_artifact, encode_image
from tiny_node import stock

from rsq.encoder import Encoder
from rsq.errors import NotFound
from rsq.manifest import TOWERS
from rsq_agent.cache import Cache
from rsq_agent.collections.collection_store import CollectionStore
from rsq_agent.collections.index_points import IndexPoint
from rsq_agent.config import AgentConfig
from rsq_agent.indexing.migrations import Migrations
from rsq_agent.indexing.roots import Roots
from rsq_agent.inference.activator import Activator
from rsq_agent.inference.serving import Serving
from rsq_agent.inference.spaces import Spaces
from rsq_agent.state import NodeState, load_state, save_state

COLLECTION = "scenes"
NEW_SPACE_ID = "6" * 64
IMAGES = 4
SECONDS = 60.0


def prepare_migration(folder: Path) -> None:
    """Both versions are on the node, 1 is active, and the images are indexed by it."""
    cache = Cache(folder / "agent")
    state = NodeState()
    for version, space_id in ((1, SPACE_ID), (2, NEW_SPACE_ID)):
        artifacts = [
            build_artifact(
                folder / f"sources/{version}/{tower}", tower, seed=version, space_id=space_id
            )
            for tower in TOWERS
        ]
        state = state.activate(stock(cache, artifacts, version=version))
    save_state(cache, state.roll_back(None))
    # Outside of the folder that is copied for each run: a stored vector names its image's path.
    images = _images(folder)
    images.mkdir()
    for number in range(IMAGES):
        (images / f"{number}.png").write_bytes(encode_image((60 * number, 90, 200 - 40 * number)))
    store = CollectionStore(folder / "collections")
    collection = store.create(COLLECTION, space_id=SPACE_ID, dimension=DIMENSION)
    artifact_id = load_state(cache).activation("tiny").artifacts[0]
    rows = _expected(folder, images)[SPACE_ID]
    collection.add([IndexPoint(uri, row, artifact_id, SPACE_ID) for uri, row in rows.items()])
    store.close()
    with _open(folder) as (migrations, _):  # finds the paces of the towers, which are remembered
        migrations.start(COLLECTION, "tiny:2")
        _wait(migrations)
        migrations.cancel(COLLECTION)


def migrate(folder: Path, tell: Tell) -> None:
    with _open(folder) as (migrations, _):
        migrations.start(COLLECTION, "tiny:2")
        _wait(migrations)
        if migrations.find(COLLECTION).state == "ready":
            migrations.cut_over(COLLECTION, force=True)


def judge_migration(folder: Path) -> str:
    """The collection is whole in one of the two spaces, and the move can be brought to its end."""
    with _open(folder) as (migrations, store):
        if fault := _judge_collection(folder, store):
            return fault
        migrations.resume()
        _wait(migrations)
        if _state(migrations) in ("none", "failed"):
            migrations.start(COLLECTION, "tiny:2")
            _wait(migrations)
        if _state(migrations) == "ready":
            migrations.cut_over(COLLECTION, force=True)
        if store.open(COLLECTION).space_id != NEW_SPACE_ID:
            return f"the migration could not be finished: {migrations.find(COLLECTION)}"
        return _judge_collection(folder, store)


def _state(migrations: Migrations) -> str:
    try:
        return migrations.find(COLLECTION).state
    except NotFound:
        return "none"


def _judge_collection(folder: Path, store: CollectionStore) -> str:
    if store.names() != [COLLECTION]:
        return f"the collections are {store.names()}"
    collection = store.open(COLLECTION)
    expected = _expected(folder, _images(folder))[collection.space_id]
    records, _ = collection.scroll(None, limit=2 * IMAGES)
    found = {record.uri: record.vector for record in records}
    if len(found) != len(records):
        return "an image is there twice"
    if found.keys() != expected.keys():
        return f"{len(found)} of {IMAGES} images are there"
    if any(np.abs(found[uri] - row).max() > 1e-5 for uri, row in expected.items()):
        return "a vector is of another space than its collection"
    return ""


def _expected(folder: Path, images: Path) -> dict[str, dict[str, NDArray[np.float32]]]:
    """The vectors of the images in each space."""
    cache = Cache(folder / "agent")
    model = load_state(cache).models["tiny"]
    found = {}
    paths = sorted(images.iterdir())
    for activation in (model.active, model.previous):
        assert activation is not None
        manifest = cache.manifest(activation.artifacts[0])
        encoder = Encoder(cache.artifact_folder(activation.artifacts[0]), manifest)
        rows = encoder.embed_images([path.read_bytes() for path in paths])
        found[manifest.space_id] = dict(zip(map(str, paths), rows, strict=True))
    return found


def _images(folder: Path) -> Path:
    return folder.parent / "images-to-migrate"


@contextmanager
def _open(folder: Path) -> Iterator[tuple[Migrations, CollectionStore]]:
    cache = Cache(folder / "agent")
    serving = Serving(cache, AgentConfig(home=cache.home, threads=1))
    store = CollectionStore(folder / "collections")
    migrations = Migrations(store, cache, Spaces(cache, serving), Roots([_images(folder)]))
    activator = Activator(cache, serving, on_ready=lambda ready: None, on_change=lambda live: None)
    try:
        activator.start(load_state(cache).activation("tiny"))
        yield migrations, store
    finally:
        migrations.close()
        serving.close()
        store.close()


def _wait(migrations: Migrations) -> None:
    running = migrations._running.get(COLLECTION)
    if running is not None:
        running.result(SECONDS)
