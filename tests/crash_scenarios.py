"""What a node or a registry does to its files, as pieces of work that `crash_matrix` interrupts.

A judge looks at what an interruption left, then does the work again and looks again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from crash_matrix import Scenario
from crash_migration import judge_migration, migrate, prepare_migration
from crash_registry import (
    collect_garbage,
    judge_collection,
    judge_publish,
    prepare_deleted,
    prepare_publish,
    publish,
)
from file_faults import FAULTS, POWER, Tell
from tiny_artifacts import DIMENSION, SPACE_ID, build_artifact
from tiny_node import stock
from tiny_registry import fill_home

from rsq.bundle import BundleReader
from rsq.bundle_writer import write_bundle
from rsq.errors import RsqError
from rsq.manifest import TOWERS
from rsq.providers import CPU_PROVIDER
from rsq.resolve import Device, Request
from rsq_agent.cache import Cache
from rsq_agent.cache_contents import prune
from rsq_agent.collections.collection_store import CollectionStore
from rsq_agent.collections.index_points import IndexPoint
from rsq_agent.config import AgentConfig
from rsq_agent.inference.activator import Activator
from rsq_agent.inference.serving import Serving
from rsq_agent.pulling.pull import fetch_plan, plan_pull, to_activation
from rsq_agent.state import ModelState, NodeState, load_state, save_state
from rsq_server.app import open_stores
from rsq_server.config import ServerConfig

COLLECTION = "scenes"
ITEMS = 8
ACKNOWLEDGED = "acknowledged"


# pull: version 1 serves, version 2 comes from a bundle


def _prepare_pull(folder: Path) -> None:
    fill_home(folder / "home", folder / "sources")
    with open_stores(ServerConfig(folder / "home/server")) as stores:
        for number in (1, 2):
            version = stores.catalogue.resolve_reference(f"tiny:{number}")
            write_bundle(folder / f"{number}.rsq", version, stores.blobs)
    shutil.rmtree(folder / "home")
    _pull_version(folder, 1)


def _pull_version(folder: Path, number: int) -> None:
    """As `rsq-agent import` does it where no agent runs, without proving."""
    cache = Cache(folder / "agent")
    request = Request(Device("cpu", (CPU_PROVIDER,)), ("vision", "text"))
    with BundleReader(folder / f"{number}.rsq") as bundle:
        plan = plan_pull(bundle, cache, "", request)
        fetch_plan(bundle, cache, plan, on_bytes=lambda count: None, readers=1)
    for choice in plan.resolution.chosen:
        cache.artifact_folder(choice.id)
    save_state(cache, load_state(cache).activate(to_activation(plan, request)))


def _pull(folder: Path, tell: Tell) -> None:
    _pull_version(folder, 2)


def _judge_pull(folder: Path) -> str:
    cache = Cache(folder / "agent")
    if fault := _judge_state(cache):
        return fault
    _pull_version(folder, 2)
    if load_state(cache).activation("tiny").version != 2:
        return "pulling again did not activate the version"
    return _judge_state(cache) or _judge_leftovers(cache)


def _judge_state(cache: Cache) -> str:
    """Everything that active.json names is here, whole and ready to be opened."""
    state = load_state(cache)
    if state.current != "tiny":
        return "nothing is active any more"
    for activation in (state.models["tiny"].active, state.models["tiny"].previous):
        for identity in activation.artifacts if activation is not None else ():
            try:
                manifest = cache.verify_artifact(identity)
                folder = cache.artifact_folder(identity)
            except RsqError as e:
                return f"version {activation.version if activation else 0} is damaged: {e}"
            if any(
                (folder / entry.name).stat().st_size != entry.size_bytes for entry in manifest.files
            ):
                return "the artifact's folder has other files than its manifest"
    return ""


def _judge_leftovers(cache: Cache) -> str:
    for path in cache.home.rglob(".*"):
        os.utime(path, (0, 0))  # as if an hour had passed
    prune(cache, dry_run=False)
    known = {
        entry.sha256
        for identity in cache.artifact_ids()
        for entry in cache.manifest(identity).files
    }
    files = [path for path in cache.home.rglob("*") if path.is_file()]
    unknown = [
        path.relative_to(cache.home)
        for path in files
        if path.parent.parent.name == "sha256" and path.name not in known
    ]
    hidden = [path.relative_to(cache.home) for path in files if path.name.startswith(".")]
    partial = [path.name for path in files if path.parent.name == "partial"]
    if unknown or hidden or partial:
        return f"left after pruning: {unknown} {hidden} {partial}"
    return ""


# activate and rollback: in the serving process, both versions on the node


def _prepare_activate(folder: Path) -> None:
    """Version 1 is active, 2 is on the node and was active before."""
    _prepare_rollback(folder)
    cache = Cache(folder / "agent")
    save_state(cache, load_state(cache).roll_back("tiny"))


def _prepare_rollback(folder: Path) -> None:
    """Version 2 is active after 1."""
    cache = Cache(folder / "agent")
    state = NodeState()
    for version in (1, 2):
        artifacts = [
            build_artifact(folder / f"sources/{version}/{tower}", tower, seed=version)
            for tower in TOWERS
        ]
        activation = stock(cache, artifacts, version=version)
        state = state.activate(activation)
        save_state(cache, state)
        with _serve(folder):
            pass  # finds the pace of the towers, which is remembered


@contextmanager
def _serve(folder: Path) -> Iterator[Activator]:
    cache = Cache(folder / "agent")
    serving = Serving(cache, AgentConfig(home=cache.home, threads=1))
    activator = Activator(cache, serving, on_ready=lambda ready: None, on_change=lambda live: None)
    try:
        activator.start(load_state(cache).activation("tiny"))
        yield activator
    finally:
        serving.close()


def _activate(folder: Path, tell: Tell) -> None:
    second = load_state(Cache(folder / "agent")).models["tiny"].previous
    assert second is not None
    with _serve(folder) as activator:
        activator.activate(second)


def _roll_back(folder: Path, tell: Tell) -> None:
    with _serve(folder) as activator:
        activator.roll_back("tiny")


def _judge_node(folder: Path) -> str:
    cache = Cache(folder / "agent")
    if fault := _judge_state(cache):
        return fault
    with _serve(folder) as activator:
        activator.roll_back("tiny")
    return _judge_state(cache) or _judge_leftovers(cache)


# prune: version 1 was replaced twice, so that nothing keeps it


def _prepare_prune(folder: Path) -> None:
    _prepare_pull(folder)
    _pull_version(folder, 2)
    cache = Cache(folder / "agent")
    state = load_state(cache)
    save_state(cache, NodeState("tiny", {"tiny": ModelState(state.models["tiny"].active)}))


def _prune(folder: Path, tell: Tell) -> None:
    prune(Cache(folder / "agent"), dry_run=False)


def _judge_prune(folder: Path) -> str:
    cache = Cache(folder / "agent")
    if fault := _judge_state(cache) or _judge_leftovers(cache):
        return fault
    active = load_state(cache).activation("tiny")
    return "" if set(cache.artifact_ids()) == set(active.artifacts) else "version 1 is still there"


# index: a collection is made and filled; what `add` returned from is in it afterwards


def _prepare_index(folder: Path) -> None:
    (folder / "collections").mkdir()


def _points() -> list[IndexPoint]:
    rows = np.random.default_rng(0).standard_normal((ITEMS, DIMENSION)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return [IndexPoint(f"/scenes/{i}.tif", row, "a" * 64, SPACE_ID) for i, row in enumerate(rows)]


def _index(folder: Path, tell: Tell) -> None:
    store = CollectionStore(folder / "collections")
    collection = store.open_or_create(COLLECTION, space_id=SPACE_ID, dimension=DIMENSION)
    collection.add(_points())
    with suppress(OSError):
        (folder / ACKNOWLEDGED).touch()
    collection.delete(["/scenes/0.tif"])
    store.close()


def _judge_index(folder: Path) -> str:
    store = CollectionStore(folder / "collections")
    there = store.names() == [COLLECTION]
    acknowledged = (folder / ACKNOWLEDGED).exists()
    if acknowledged and not there:
        return "an acknowledged collection is gone"
    collection = store.open_or_create(COLLECTION, space_id=SPACE_ID, dimension=DIMENSION)
    if acknowledged and collection.count() not in (ITEMS, ITEMS - 1):
        return f"{collection.count()} of {ITEMS} acknowledged vectors are there"
    collection.add(_points())
    if collection.count() != ITEMS:
        return f"{collection.count()} vectors after adding {ITEMS} again"
    store.close()
    return ""


# SQLite syncs by itself, and so does Qdrant Edge, past the operations that are seen here.
_WITHOUT_POWER = tuple(fault for fault in FAULTS if fault != POWER)

SCENARIOS = (
    Scenario("pull", _prepare_pull, _pull, _judge_pull),
    Scenario("activate", _prepare_activate, _activate, _judge_node),
    Scenario("rollback", _prepare_rollback, _roll_back, _judge_node),
    Scenario("prune", _prepare_prune, _prune, _judge_prune),
    Scenario("index", _prepare_index, _index, _judge_index, _WITHOUT_POWER),
    Scenario("migrate", prepare_migration, migrate, judge_migration, _WITHOUT_POWER),
    Scenario("publish", prepare_publish, publish, judge_publish, _WITHOUT_POWER),
    Scenario("gc", prepare_deleted, collect_garbage, judge_collection, _WITHOUT_POWER),
)
