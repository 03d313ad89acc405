"""Searches through a running agent over real gRPC, with tiny real artifacts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_artifacts import build_artifact, encode_image
from tiny_node import stock
from typer.testing import CliRunner

from rsq.client import Client
from rsq.errors import BadInput, NotFound, SpaceMismatch
from rsq.retrieval import (
    BoundingBox,
    Diversity,
    IndexItem,
    Origin,
    Payload,
    QueryPart,
    SearchFilter,
    SearchHit,
    Window,
)
from rsq_agent.app import Agent
from rsq_agent.cache import Cache
from rsq_agent.cli.main import app
from rsq_agent.config import AgentConfig
from rsq_agent.state import NodeState, save_state

COUNT = 12


@pytest.fixture(scope="module")
def images() -> list[bytes]:
    random = np.random.default_rng(5)
    return [encode_image(tuple(random.integers(0, 256, 3))) for _ in range(COUNT)]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    folder = tmp_path_factory.mktemp("agent")
    cache = Cache(folder / "agent")
    state = NodeState()
    for model, variant in (("other", "int8"), ("tiny", "fp32")):
        towers = [
            build_artifact(folder / f"{model}-{tower}", tower, variant)
            for tower in ("vision", "text")
        ]
        state = state.activate(stock(cache, towers, model=model))
    save_state(cache, state)
    config = AgentConfig(home=cache.home, threads=1, listen="127.0.0.1:0")
    with Agent(config) as agent:
        agent.load(None)
        yield agent


@pytest.fixture(scope="module")
def client(agent: Agent, images: list[bytes]) -> Iterator[Client]:
    with Client(agent.address) as client:
        items = [
            IndexItem(
                f"/scene{i // 4}.tif",
                image,
                Payload(
                    Window(i, 0, 5, 5),
                    BoundingBox(i, 0.0, i + 0.5, 1.0),
                    f"2024-0{1 + i // 4}-01T00:00:00Z",
                    ("even",) if i % 2 == 0 else ("odd",),
                ),
            )
            for i, image in enumerate(images)
        ]
        assert all(outcome.error is None for outcome in client.index(items))
        yield client


@pytest.fixture(scope="module")
def vectors(client: Client, images: list[bytes]) -> NDArray[np.float32]:
    return client.embed_image(images)


def places(hits: list[SearchHit]) -> list[int]:
    return [hit.payload.window.x for hit in hits if hit.payload.window is not None]


def test_parts_add_up_by_their_weights(
    client: Client, images: list[bytes], vectors: NDArray[np.float32]
) -> None:
    text, away = client.embed_text(["port", "red forest"])
    query = text + vectors[3] - 0.5 * away
    right = np.argsort(-(vectors @ query)).tolist()
    hits = client.search(text="port", image=images[3], negative="red forest", k=COUNT)
    assert places(hits) == right
    scores = vectors @ (query / np.linalg.norm(query))
    assert [hit.score for hit in hits] == pytest.approx(scores[right], abs=1e-5)
    parts = [QueryPart(text="port", weight=0.2), QueryPart(vector=vectors[3], weight=2)]
    hits = client.search_parts(parts, space_id=client.info().space_id)
    assert places(hits) == np.argsort(-(vectors @ (0.1 * text + vectors[3]))).tolist()[:10]


def test_more_like_a_stored_image_needs_no_image(
    client: Client, vectors: NDArray[np.float32]
) -> None:
    hits = client.search(like=Origin("/scene1.tif", Window(5, 0, 5, 5)), k=3)
    assert places(hits) == np.argsort(-(vectors @ vectors[5])).tolist()[:3]
    with pytest.raises(NotFound, match=r"scene1\.tif"):
        client.search(like="/scene1.tif")


def test_filters_reach_the_collection(client: Client) -> None:
    wanted = SearchFilter(
        bbox=BoundingBox(1.2, -1, 9.4, 2), since="2024-02-01T00:00:00Z", all_tags=("even",)
    )
    assert sorted(places(client.search(text="port", filter=wanted))) == [4, 6, 8]
    triangle = SearchFilter(polygon=((0.0, 0.0), (3.2, 0.0), (0.0, 0.9)))
    assert sorted(places(client.search(text="port", filter=triangle))) == [0, 1, 2, 3]
    with pytest.raises(BadInput, match="inside out"):
        client.search(text="port", filter=SearchFilter(bbox=BoundingBox(0, 5, 1, 4)))


def test_pages_scenes_and_diversity_reach_the_search(client: Client) -> None:
    plain = places(client.search(text="port", k=COUNT))
    assert places(client.search(text="port", k=3, offset=4, exact=True)) == plain[4:7]
    scenes = client.search(text="port", k=COUNT, per_uri=1)
    assert sorted(hit.uri for hit in scenes) == ["/scene0.tif", "/scene1.tif", "/scene2.tif"]
    assert places(client.search(text="port", k=COUNT, diversity=Diversity(1.0))) == plain
    assert places(client.search(text="port", k=COUNT, collapse_cosine=1e-6)) == plain[:1]
    bound = client.search(text="port", k=5)[-1].score - 1e-6
    assert places(client.search(text="port", k=COUNT, min_score=bound)) == plain[:5]


def test_a_vector_says_where_it_is_from(client: Client, vectors: NDArray[np.float32]) -> None:
    with pytest.raises(BadInput, match="space_id"):
        client.search(vector=vectors[0])
    with pytest.raises(SpaceMismatch):
        client.search(vector=vectors[0], space_id="7" * 64)
    with pytest.raises(BadInput, match="finite"):
        client.search(vector=vectors[0] * np.nan, space_id=client.info().space_id)
    with pytest.raises(BadInput, match="values"):
        client.search(vector=vectors[0][1:], space_id=client.info().space_id)
    parts = [QueryPart(text="port"), QueryPart(text="port", weight=-1)]
    with pytest.raises(BadInput, match="cancel"):
        client.search_parts(parts)


def test_the_command_takes_the_same_wishes(agent: Agent, client: Client) -> None:
    arguments = ["search", "port", "--agent", agent.address, "--json", "-k", "9"]
    wishes = ["--bbox", "1.2,-1,9.4,2", "--since", "2024-02-01", "--tag", "even"]
    result = CliRunner().invoke(app, [*arguments, *wishes])
    assert result.exit_code == 0, result.output
    assert [f'"x": {x}' in result.output for x in (4, 6, 8, 2, 10)] == [True] * 3 + [False] * 2


def test_an_artifact_that_was_not_measured_beside_another_is_refused(
    agent: Agent, client: Client, images: list[bytes]
) -> None:
    before = client.collections()[0].points
    agent.load("other")
    with pytest.raises(SpaceMismatch, match="index into another"):
        list(client.index([IndexItem("/new", images[0])]))
    assert all(
        outcome.error is None
        for outcome in client.index([IndexItem("/new", images[0])], collection="apart")
    )
    assert client.collections()[1].points == before
