"""A collection's move from version 1 of a model to version 2, in a running agent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tiny_artifacts import SPACE_ID, TinyArtifact, build_artifact, encode_image
from tiny_node import stock

from rsq.care_client import CareClient
from rsq.client import Client
from rsq.errors import BadInput, EnvironmentFault, GateRefused, NotFound, SpaceMismatch
from rsq.retrieval import IndexItem, Migration, Payload
from rsq_agent.app import Agent
from rsq_agent.cache import Cache
from rsq_agent.config import AgentConfig
from rsq_agent.state import NodeState, save_state

NEW_SPACE_ID = "6" * 64
PATIENCE_SECONDS = 20.0


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> list[list[TinyArtifact]]:
    """Both towers of version 1 and of version 2."""
    folder = tmp_path_factory.mktemp("artifacts")
    return [
        [
            build_artifact(folder / f"{tower}{number}", tower, seed=number, space_id=space_id)
            for tower in ("vision", "text")
        ]
        for number, space_id in ((1, SPACE_ID), (2, NEW_SPACE_ID))
    ]


@pytest.fixture
def cache(tmp_path: Path, artifacts: list[list[TinyArtifact]]) -> Cache:
    """Of a node that had version 1 and has version 2 now."""
    cache = Cache(tmp_path / "home")
    state = NodeState()
    for number, towers in enumerate(artifacts, start=1):
        state = state.activate(stock(cache, towers, version=number))
    first = state.roll_back(None)
    save_state(cache, first)
    return cache


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "images"
    folder.mkdir()
    random = np.random.default_rng(5)
    paths = []
    for number in range(40):
        path = folder / f"{number:02d}.png"
        red, green, blue = (int(value) for value in random.integers(0, 256, 3))
        path.write_bytes(encode_image((red, green, blue)))
        paths.append(path)
    return paths


@contextmanager
def running(cache: Cache, *roots: Path) -> Iterator[tuple[Client, CareClient]]:
    config = AgentConfig(
        home=cache.home, threads=1, server="127.0.0.1:1", listen="127.0.0.1:0", roots=roots
    )
    with Agent(config) as agent:
        agent.load(None)
        with Client(agent.address) as client, CareClient(agent.address) as care:
            yield client, care


def add(client: Client, paths: list[Path]) -> None:
    items = [IndexItem(str(path), path.read_bytes(), Payload(tags=("t",))) for path in paths]
    assert all(outcome.error is None for outcome in client.index(items))


def wait_for(check: Callable[[], Migration], state: str) -> Migration:
    until = time.monotonic() + PATIENCE_SECONDS
    while (found := check()).state != state:
        assert found.state == "running", found
        assert time.monotonic() < until, found
        time.sleep(0.02)
    return found


def uris(client: Client) -> list[str]:
    return sorted(hit.uri for hit in client.search(text="river", k=100))


def test_a_collection_moves_and_goes_back(cache: Cache, images: list[Path], tmp_path: Path) -> None:
    with running(cache, tmp_path) as (client, care):
        add(client, images)
        assert care.start_migration("default", "tiny:2").old_space_id == SPACE_ID
        found = wait_for(lambda: care.migration("default"), "ready")
        assert (found.done, found.total, found.failed) == (40, 40, 0)
        assert found.sampled_queries > 20
        assert 0 < found.overlap_at_10 <= 1
        assert client.collections()[0].space_id == SPACE_ID
        late = images[0].with_name("late.png")
        late.write_bytes(encode_image((9, 200, 99)))
        add(client, [late])
        client.delete([str(images[3])])
        expected = sorted(str(path) for path in [*images, late] if path != images[3])
        assert care.cut_over("default").state == "cut_over"
        assert [row.space_id for row in client.collections()] == [NEW_SPACE_ID]
        assert uris(client) == expected
        hit = client.search(image=late, k=1)[0]
        assert (hit.uri, hit.payload.tags) == (str(late), ("t",))
        assert hit.score == pytest.approx(1, abs=1e-4)
        later = images[0].with_name("later.png")
        later.write_bytes(encode_image((200, 9, 99)))
        add(client, [later])  # in the new space alone
        expected = sorted([*expected, str(later)])
        assert care.revert_migration("default").state == "ready"
        assert [row.space_id for row in client.collections()] == [SPACE_ID]
        assert uris(client) == expected
        care.cut_over("default")
        assert uris(client) == expected
    with running(cache, tmp_path) as (client, care):
        assert [row.space_id for row in client.collections()] == [NEW_SPACE_ID]
        assert uris(client) == expected
        care.start_migration("default", "tiny")  # back by embedding again
        wait_for(lambda: care.migration("default"), "ready")
        care.cut_over("default")
        assert [row.space_id for row in client.collections()] == [SPACE_ID]
        assert uris(client) == expected


def test_there_is_no_way_back_that_loses_what_was_added(
    cache: Cache, images: list[Path], tmp_path: Path
) -> None:
    with running(cache, tmp_path) as (client, care):
        add(client, images[:3])
        care.start_migration("default", "tiny:2")
        wait_for(lambda: care.migration("default"), "ready")
        care.cut_over("default")
        add(client, images[3:4])
        picture = images[3].read_bytes()
        images[3].unlink()
        with pytest.raises(GateRefused, match="1 images that came to 'default' since"):
            care.revert_migration("default")
        assert [row.space_id for row in client.collections()] == [NEW_SPACE_ID]
        images[3].write_bytes(picture)
        add(client, images[3:4])
        assert care.revert_migration("default").state == "ready"
        assert uris(client) == sorted(str(path) for path in images[:4])


def test_a_migration_goes_on_after_a_restart(
    cache: Cache, images: list[Path], tmp_path: Path
) -> None:
    with running(cache, tmp_path) as (client, care):
        add(client, images)
        care.start_migration("default", "tiny:2")
    with running(cache, tmp_path) as (client, care):
        assert wait_for(lambda: care.migration("default"), "ready").done == 40


def test_a_cancelled_migration_leaves_nothing(
    cache: Cache, images: list[Path], tmp_path: Path
) -> None:
    with running(cache, tmp_path) as (client, care):
        add(client, images)
        care.start_migration("default", "tiny:2")
        care.cancel_migration("default")
        with pytest.raises(NotFound, match="no migration"):
            care.migration("default")
        assert len(uris(client)) == 40
    assert list(cache.collections_folder.glob("default.*")) == []


def test_images_that_went_hold_the_cut_over_up(
    cache: Cache, images: list[Path], tmp_path: Path
) -> None:
    with running(cache, tmp_path) as (client, care):
        add(client, images)
        images[7].unlink()
        care.start_migration("default", "tiny:2")
        found = wait_for(lambda: care.migration("default"), "ready")
        assert found.failed == 1
        assert str(images[7]) in found.message
        with pytest.raises(GateRefused, match="1 images"):
            care.cut_over("default")
        care.cut_over("default", force=True)
        assert len(uris(client)) == 39


def test_files_outside_the_roots_are_not_read(
    cache: Cache, images: list[Path], tmp_path: Path
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link.png").symlink_to(images[0])
    with running(cache, inside) as (client, care):
        add(client, [images[1], inside / "link.png"])
        care.start_migration("default", "tiny:2")
        found = wait_for(lambda: care.migration("default"), "ready")
        assert (found.done, found.failed) == (0, 2)
        assert "--root" in found.message


def test_no_migration_begins_without_roots_or_a_model(
    cache: Cache, images: list[Path], tmp_path: Path
) -> None:
    with running(cache) as (client, care):
        add(client, images[:1])
        with pytest.raises(EnvironmentFault, match="--root"):
            care.start_migration("default", "tiny:2")
    with running(cache, tmp_path) as (client, care):
        with pytest.raises(NotFound, match=r"it has tiny:1, tiny:2"):
            care.start_migration("default", "tiny:3")
        with pytest.raises(BadInput, match="space already"):
            care.start_migration("default", "tiny:1")


def test_a_collection_of_the_version_before_is_searched_by_it(
    cache: Cache, images: list[Path], artifacts: list[list[TinyArtifact]]
) -> None:
    with running(cache) as (client, _):
        add(client, images)
        found = uris(client)
    activations = [stock(cache, towers, version=n) for n, towers in enumerate(artifacts, 1)]
    save_state(cache, NodeState().activate(activations[0]).activate(activations[1]))
    with running(cache) as (client, _):
        assert client.info().space_id == NEW_SPACE_ID
        assert uris(client) == found
    save_state(cache, NodeState().activate(activations[1]))
    with running(cache) as (client, _), pytest.raises(SpaceMismatch, match="tiny:2"):
        uris(client)
