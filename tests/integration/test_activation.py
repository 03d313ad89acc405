"""A running agent that changes what it serves, under requests, over real gRPC."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from tiny_artifacts import TinyArtifact, build_artifact, encode_image
from tiny_node import stock

from rsq.client import Client
from rsq.encoder import Encoder
from rsq.errors import EnvironmentFault, NotFound, ProbeFailed
from rsq.rpc import agent as agent_rpc
from rsq.rpc.channel import open_channel, translate_errors
from rsq.v1 import embedding_pb2 as pb
from rsq.v1.embedding_pb2_grpc import EmbeddingStub
from rsq.wire.vectors import vectors_from_pb
from rsq_agent.app import Agent
from rsq_agent.cache import Cache
from rsq_agent.config import AgentConfig
from rsq_agent.inference.serving import Serving
from rsq_agent.state import Activation, NodeState, load_state, save_state

TEXTS = ["port with large cargo ships", "red forest", "blue river", "a port of red ships"]
IMAGE = encode_image((200, 40, 90))
WAIT_SECONDS = 20.0


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TinyArtifact]:
    """Both towers of two versions, and a text tower that fails its probe."""
    folder = tmp_path_factory.mktemp("artifacts")
    return {
        "vision 1": build_artifact(folder / "v1", "vision"),
        "text 1": build_artifact(folder / "t1", "text"),
        "vision 2": build_artifact(folder / "v2", "vision", seed=2),
        "text 2": build_artifact(folder / "t2", "text", seed=2),
        "broken": build_artifact(folder / "b", "text", "int8", broken_probe=True),
    }


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "agent")


@pytest.fixture
def first(cache: Cache, artifacts: dict[str, TinyArtifact]) -> Activation:
    return stock(cache, [artifacts["vision 1"], artifacts["text 1"]])


@pytest.fixture
def second(cache: Cache, artifacts: dict[str, TinyArtifact]) -> Activation:
    return stock(cache, [artifacts["vision 2"], artifacts["text 2"]], version=2)


@pytest.fixture
def bad(cache: Cache, artifacts: dict[str, TinyArtifact]) -> Activation:
    return stock(cache, [artifacts["vision 2"], artifacts["broken"]], version=3)


@pytest.fixture
def agent(cache: Cache, first: Activation) -> Iterator[Agent]:
    """An agent that serves the first version. No server can be reached."""
    save_state(cache, NodeState().activate(first))
    config = AgentConfig(home=cache.home, threads=1, server="127.0.0.1:1", listen="127.0.0.1:0")
    with Agent(config) as agent:
        agent.load(None)
        yield agent


def _wanted(activation: Activation) -> agent_rpc.Wanted:
    return agent_rpc.Wanted(
        model=activation.model,
        version=activation.version,
        artifact_ids=activation.artifacts,
        providers=activation.providers,
        max_batch=activation.max_batch,
        budget_bytes=activation.budget_bytes,
        peak_bytes=(activation.peak_bytes or 0,),
        load_seconds=activation.load_seconds or 0.0,
    )


def _activate(agent: Agent, activation: Activation) -> agent_rpc.ActivationPlan:
    return agent_rpc.activate(agent.address, **_wanted(activation))


def _known_vectors(artifacts: dict[str, TinyArtifact]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for name, artifact in artifacts.items():
        encoder = Encoder(artifact.folder, artifact.manifest)
        if name.startswith("vision"):
            known[artifact.id] = encoder.embed_images([IMAGE])
        else:
            known[artifact.id] = encoder.embed_texts(TEXTS)
    return known


@pytest.mark.parametrize("budget_bytes", [None, 1_500_000])
def test_swaps_under_requests_lose_none_and_mix_none(
    agent: Agent,
    artifacts: dict[str, TinyArtifact],
    first: Activation,
    second: Activation,
    budget_bytes: int | None,
) -> None:
    known = _known_vectors(artifacts)
    done = threading.Event()
    seen: set[str] = set()

    def call(client: int) -> int:
        count = 0
        with open_channel(agent.address) as channel, translate_errors(agent.address):
            stub = EmbeddingStub(channel)
            while not done.is_set():
                if client % 2:
                    reply: Any = stub.EmbedText(pb.EmbedTextRequest(texts=TEXTS), timeout=30)
                else:
                    images = [pb.Image(encoded=IMAGE)]
                    reply = stub.EmbedImage(pb.EmbedImageRequest(images=images), timeout=30)
                rows = vectors_from_pb(reply.vectors)
                assert rows == pytest.approx(known[reply.artifact_id], abs=1e-5)
                seen.add(reply.artifact_id)
                count += 1
        return count

    with ThreadPoolExecutor(5) as pool:
        callers = [pool.submit(call, client) for client in range(4)]
        streaming = pool.submit(_stream_until, agent, done)
        swaps = [
            _activate(agent, replace(activation, budget_bytes=budget_bytes))
            for activation in (second, first) * 5
        ]
        done.set()
        assert all(caller.result(WAIT_SECONDS) > 0 for caller in callers)
        assert streaming.result(WAIT_SECONDS) > 0
    assert {swap.side_by_side for swap in swaps[1:]} == {budget_bytes is None}
    assert seen == {artifacts[name].id for name in artifacts if name != "broken"}


def _stream_until(agent: Agent, done: threading.Event) -> int:
    """Items of one stream that were answered, until `done`."""

    def requests() -> Iterator[pb.EmbedStreamRequest]:
        while not done.is_set():
            yield pb.EmbedStreamRequest(text=TEXTS[0])

    with open_channel(agent.address) as channel, translate_errors(agent.address):
        replies = EmbeddingStub(channel).EmbedStream(requests(), timeout=120)
        kinds = [reply.WhichOneof("result") for reply in replies]
    assert set(kinds) == {"vector"}
    return len(kinds)


@pytest.mark.parametrize("budget_bytes", [None, 1_500_000])
def test_a_version_that_fails_here_changes_nothing(
    agent: Agent, bad: Activation, budget_bytes: int | None
) -> None:
    _activate(agent, replace(agent.activator.active, budget_bytes=budget_bytes))  # type: ignore[type-var]
    before = agent.cache.state_path.read_text()
    bad = replace(bad, budget_bytes=budget_bytes)
    assert agent_rpc.plan_activation(agent.address, **_wanted(bad)).side_by_side is (
        budget_bytes is None
    )
    fact = "serves on" if budget_bytes is None else "was loaded again"
    with pytest.raises(ProbeFailed, match=f"tiny:1 {fact}"):
        _activate(agent, bad)
    with Client(agent.address) as client:
        assert client.is_serving()
        assert client.info().version == 1
        assert client.embed_text(TEXTS).shape == (4, 16)
    assert agent.cache.state_path.read_text() == before


def test_a_rollback_goes_back_and_forward_and_survives_a_restart(
    agent: Agent, second: Activation
) -> None:
    with pytest.raises(NotFound, match="nothing to go back to"):
        agent_rpc.roll_back(agent.address, None)
    _activate(agent, second)
    with Client(agent.address) as client:
        assert agent_rpc.roll_back(agent.address, None) == ("tiny", 1)
        assert client.info().version == 1
        assert load_state(agent.cache).models["tiny"].abandoned_version == 2
        assert agent_rpc.roll_back(agent.address, "tiny") == ("tiny", 2)
        assert client.info().version == 2
    with pytest.raises(NotFound, match="'ships' is not active"):
        agent_rpc.roll_back(agent.address, "ships")
    status = agent_rpc.read_status(agent.address)
    assert [(m.model, m.version, m.previous_version) for m in status.models] == [("tiny", 2, 1)]
    restarted = load_state(agent.cache)
    assert restarted.activation(None).version == 2
    assert restarted.to_roll_back(None).version == 1


def test_models_come_and_go_by_name(agent: Agent, second: Activation) -> None:
    _activate(agent, replace(second, model="other"))
    with open_channel(agent.address) as channel:
        stub = EmbeddingStub(channel)

        def model_of(name: str) -> str:
            with translate_errors(agent.address):
                request = pb.EmbedTextRequest(texts=TEXTS, model=name)
                return str(stub.EmbedText(request, timeout=30).artifact_id)

        agent_rpc.unload(agent.address, "tiny")
        states = {m.model: m.state for m in agent_rpc.read_status(agent.address).models}
        assert states == {"other": "LOADED", "tiny": "UNLOADED"}
        assert model_of("") == model_of("other") != model_of("tiny")  # loaded by its request
        agent_rpc.unload(agent.address, "tiny")
        agent_rpc.load(agent.address, "tiny")
        states = {m.model: m.state for m in agent_rpc.read_status(agent.address).models}
        assert states == {"other": "LOADED", "tiny": "LOADED"}
        with pytest.raises(NotFound, match="'ships'; it has other, tiny"):
            model_of("ships")


def test_unused_models_go_by_themselves(cache: Cache, first: Activation) -> None:
    save_state(cache, NodeState().activate(first))
    config = AgentConfig(
        home=cache.home,
        threads=1,
        server="127.0.0.1:1",
        listen="127.0.0.1:0",
        idle_unload_seconds=0.05,
    )
    with Agent(config) as agent, Client(agent.address) as client:
        agent.load(None)
        for _ in range(400):
            if agent_rpc.read_status(agent.address).models[0].state == "UNLOADED":
                break
            threading.Event().wait(0.02)
        else:
            pytest.fail("It was never unloaded.")
        assert client.is_serving()  # a request loads it again
        assert client.embed_text(TEXTS).shape == (4, 16)


def test_only_the_named_models_are_served_when_some_are_named(
    cache: Cache, first: Activation, second: Activation
) -> None:
    state = NodeState().activate(first)
    for name in ("other", "third"):
        state = state.activate(replace(second, model=name))
    save_state(cache, state)
    config = AgentConfig(home=cache.home, threads=1, server="127.0.0.1:1", listen="127.0.0.1:0")
    with Agent(config) as agent:
        agent.load("tiny", "other")
        status = agent_rpc.read_status(agent.address)
        assert [(m.model, m.state) for m in status.models] == [
            ("tiny", "LOADED"),
            ("other", "LOADED"),
        ]
    with Agent(config) as agent:
        agent.load(None)
        status = agent_rpc.read_status(agent.address)
        assert [(m.model, m.state) for m in status.models] == [
            ("third", "LOADED"),
            ("other", "UNLOADED"),
            ("tiny", "UNLOADED"),
        ]


def test_memory_comes_back_with_every_unload(cache: Cache, tmp_path: Path) -> None:
    large = build_artifact(tmp_path / "large", "text", hidden=2048)
    activation = stock(cache, [large])
    serving = Serving(cache, AgentConfig(home=cache.home, threads=1))
    serving.activate(activation)
    ids = np.ones((1, 8), np.int64)
    resident = []
    for _ in range(20):
        serving.unload("tiny")
        resident.append(psutil.Process().memory_info().rss)
        with serving.lease() as model:
            model.tower("text").batcher.embed(ids)
    serving.close()
    weights_bytes = 2048 * 2048 * 4
    slope = float(np.polyfit(range(15), resident[5:], 1)[0])
    assert slope < weights_bytes / 2  # a cycle that kept its model would add all of it


def test_an_agent_that_has_nothing_says_what_to_run(cache: Cache) -> None:
    config = AgentConfig(home=cache.home, threads=1, server="127.0.0.1:1", listen="127.0.0.1:0")
    with Agent(config) as agent:
        with pytest.raises(NotFound, match="rsq-agent pull"):
            agent.load(None)
        with Client(agent.address) as client, pytest.raises(EnvironmentFault, match="pull NAME"):
            client.embed_text(TEXTS)
