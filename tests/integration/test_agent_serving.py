"""A running agent over real gRPC, with tiny real artifacts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from fake_registry import FakeRegistry, serve_registry
from tiny_artifacts import TinyArtifact, build_artifact, build_version, encode_image

from rsq.client import Client
from rsq.encoder import Encoder
from rsq.errors import (
    BadImage,
    BadInput,
    EnvironmentFault,
    NotFound,
    ProbeFailed,
    SpaceMismatch,
)
from rsq.onnx_session import cpu_class
from rsq.providers import CPU_PROVIDER
from rsq.resolve import Device, Request
from rsq.retrieval import (
    BoundingBox,
    IndexItem,
    Payload,
    QueryPart,
    SearchOptions,
    Window,
)
from rsq.rpc import agent as agent_rpc
from rsq.rpc.channel import open_channel, translate_errors
from rsq.rpc.registry import RegistryClient
from rsq.v1 import embedding_pb2
from rsq.v1.embedding_pb2_grpc import EmbeddingStub
from rsq.v1.retrieval_pb2_grpc import RetrievalStub
from rsq.wire.search_query import search_to_pb
from rsq.wire.vectors import VectorType, type_to_pb, vectors_from_pb
from rsq_agent.app import Agent
from rsq_agent.cache import Cache
from rsq_agent.config import AgentConfig
from rsq_agent.pulling.pull import fetch_plan, plan_pull, to_activation
from rsq_agent.state import NodeState, load_state, save_state

DEVICE = Device("cpu", (CPU_PROVIDER,))
TEXTS = ["port with large cargo ships", "red forest", "blue river"]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TinyArtifact]:
    folder = tmp_path_factory.mktemp("artifacts")
    return {
        "vision": build_artifact(folder / "v", "vision"),
        "text": build_artifact(folder / "t", "text"),
        "broken": build_artifact(folder / "b", "text", "int8", broken_probe=True),
    }


@pytest.fixture(scope="module")
def images() -> list[bytes]:
    random = np.random.default_rng(5)
    return [encode_image(tuple(random.integers(0, 256, 3))) for _ in range(12)]


@pytest.fixture
def registry(artifacts: dict[str, TinyArtifact]) -> FakeRegistry:
    registry = FakeRegistry()
    for name, towers in {
        "tiny": ["vision", "text"],
        "broken": ["vision", "broken"],
        "words": ["text"],
    }.items():
        parts = [artifacts[tower] for tower in towers]
        version = build_version([part.row() for part in parts], model=name)
        registry.add(version, parts)
    return registry


@pytest.fixture
def agent(registry: FakeRegistry, tmp_path: Path) -> Iterator[Agent]:
    """An agent that has pulled all models and loaded none."""
    with serve_registry(registry) as server:
        cache = Cache(tmp_path / "agent")
        state = NodeState()
        with RegistryClient(server) as client:
            for name in ("broken", "words", "tiny"):
                towers = ("text",) if name == "words" else ("vision", "text")
                request = Request(DEVICE, towers)  # type: ignore[arg-type]
                plan = plan_pull(client, cache, name, request)
                fetch_plan(client, cache, plan, readers=2, on_bytes=lambda count: None)
                state = state.activate(to_activation(plan, request))
        save_state(cache, state)
        config = AgentConfig(
            home=cache.home, threads=1, server=server, listen="127.0.0.1:0", reports=True
        )
        with Agent(config) as agent:
            yield agent


@pytest.fixture
def client(agent: Agent) -> Iterator[Client]:
    agent.load(None)
    with Client(agent.address) as client:
        yield client


def test_nothing_is_served_before_the_probe_passed(agent: Agent) -> None:
    with Client(agent.address) as client:
        assert not client.is_serving()
        with pytest.raises(EnvironmentFault, match="rsq-agent pull"):
            client.embed_text(TEXTS)
        with pytest.raises(ProbeFailed):
            agent.load("broken")
        assert not client.is_serving()
        agent.load("tiny")
        assert client.is_serving()


def test_vectors_over_grpc_equal_the_encoder_alone_and_in_any_batch(
    client: Client, artifacts: dict[str, TinyArtifact], images: list[bytes]
) -> None:
    encoders = {
        name: Encoder(artifacts[name].folder, artifacts[name].manifest)
        for name in ("vision", "text")
    }
    rows = client.embed_image(images)
    assert rows == pytest.approx(encoders["vision"].embed_images(images), abs=1e-6)
    assert client.embed_text(TEXTS) == pytest.approx(encoders["text"].embed_texts(TEXTS), abs=1e-6)
    with ThreadPoolExecutor(6) as pool:
        alone = np.concatenate(list(pool.map(lambda image: client.embed_image([image]), images)))
    assert (alone * rows).sum(axis=1).min() >= 0.99999


def test_texts_seen_before_are_not_embedded_again(
    agent: Agent, artifacts: dict[str, TinyArtifact]
) -> None:
    encoder = Encoder(artifacts["text"].folder, artifacts["text"].manifest)
    agent.load(None)
    with open_channel(agent.address) as channel:
        stub = EmbeddingStub(channel)

        def embed(texts: list[str]) -> tuple[np.ndarray, float]:
            reply = stub.EmbedText(embedding_pb2.EmbedTextRequest(texts=texts), timeout=20)
            return vectors_from_pb(reply.vectors), reply.timing.inference_ms

        embed(TEXTS[:2])
        rows, inference_ms = embed([TEXTS[1], TEXTS[2], TEXTS[0]])
        assert inference_ms > 0  # of the one that was new
        assert rows == pytest.approx(encoder.embed_texts([TEXTS[1], TEXTS[2], TEXTS[0]]), abs=1e-6)
        again, inference_ms = embed([TEXTS[1], TEXTS[2], TEXTS[0]])
        assert inference_ms == 0
        assert again.tobytes() == rows.tobytes()


def test_a_call_without_a_deadline_is_answered(agent: Agent, images: list[bytes]) -> None:
    agent.load(None)
    with open_channel(agent.address) as channel:
        stub = EmbeddingStub(channel)
        image = embedding_pb2.Image(encoded=images[0])
        reply = stub.EmbedImage(embedding_pb2.EmbedImageRequest(images=[image]))
        assert vectors_from_pb(reply.vectors).shape == (1, 16)


def test_the_pace_of_a_tower_is_found_once(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    # One that is found on a busy machine is looked for again.
    monkeypatch.setattr("rsq_agent.inference.pace.BUSY_SHARE", 2.0)
    agent.load("tiny")

    def refuse(*args: object, **fields: object) -> None:
        pytest.fail("A pace was looked for again.")

    monkeypatch.setattr("rsq_agent.inference.loading.find_pace", refuse)
    agent.load("tiny")


def test_long_lists_are_split_by_the_client_and_empty_ones_keep_their_shape(
    client: Client,
) -> None:
    many = client.embed_text([TEXTS[i % 3] for i in range(10_000)])
    assert many.shape == (10_000, 16)
    assert many[9_999] == pytest.approx(client.embed_text([TEXTS[0]])[0], abs=1e-6)
    assert client.embed_text([]).shape == (0, 16)


def test_ten_thousand_texts_in_one_raw_call_are_refused_with_the_limit(agent: Agent) -> None:
    agent.load(None)
    with open_channel(agent.address) as channel:
        stub = EmbeddingStub(channel)
        with pytest.raises(BadInput, match="256"), translate_errors(agent.address):
            stub.EmbedText(embedding_pb2.EmbedTextRequest(texts=["port"] * 10_000), timeout=20)


def test_a_bad_item_fails_its_call_and_is_named_by_its_place_in_the_callers_list(
    client: Client, images: list[bytes]
) -> None:
    with pytest.raises(BadInput, match="item 100:") as caught:
        client.embed_text(["port"] * 100 + [""])
    assert caught.value.metadata["index"] == "100"
    with pytest.raises(BadImage, match="item 1:"):
        client.embed_image([images[0], images[1][:40]])


def test_single_values_instead_of_lists_are_explained(client: Client) -> None:
    with pytest.raises(BadInput, match="list"):
        client.embed_text("port")
    with pytest.raises(BadInput, match="list"):
        client.embed_image(b"...")  # type: ignore[arg-type]


def test_images_may_be_given_by_path(client: Client, images: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(images[0])
    assert client.embed_image([path]) == pytest.approx(client.embed_image([images[0]]))
    with pytest.raises(BadInput, match="No such file"):
        client.embed_image([tmp_path / "missing.png"])


@pytest.mark.parametrize(
    ("kind", "tolerance"), [("float32", 1e-6), ("float16", 1e-3), ("int8", 0.01)]
)
def test_vectors_come_in_the_type_that_was_asked_for(
    agent: Agent, client: Client, kind: VectorType, tolerance: float
) -> None:
    with open_channel(agent.address) as channel:
        reply = EmbeddingStub(channel).EmbedText(
            embedding_pb2.EmbedTextRequest(texts=TEXTS, dtype=type_to_pb(kind)), timeout=20
        )
    assert reply.vectors.dtype == type_to_pb(kind)
    assert vectors_from_pb(reply.vectors) == pytest.approx(client.embed_text(TEXTS), abs=tolerance)
    assert reply.space_id == client.info().space_id
    assert reply.artifact_id in {tower.artifact_id for tower in client.info().towers}
    assert reply.timing.inference_ms > 0


def test_raw_pixels_skip_preprocessing_and_are_checked(
    agent: Agent, client: Client, artifacts: dict[str, TinyArtifact], images: list[bytes]
) -> None:
    vision = artifacts["vision"]
    pixels = Encoder(vision.folder, vision.manifest).prepare_image(images[0])
    with open_channel(agent.address) as channel:

        def embed(data: bytes) -> np.ndarray:
            image = embedding_pb2.Image(raw=embedding_pb2.RawImage(data=data))
            request = embedding_pb2.EmbedImageRequest(images=[image])
            with translate_errors(agent.address):
                reply = EmbeddingStub(channel).EmbedImage(request, timeout=20)
            return vectors_from_pb(reply.vectors)

        assert embed(pixels.tobytes()) == pytest.approx(client.embed_image([images[0]]), abs=1e-6)
        with pytest.raises(BadInput, match="float32"):
            embed(pixels.tobytes()[:-4])
        pixels[0, 0, 0] = np.nan
        with pytest.raises(BadInput, match="NaN"):
            embed(pixels.tobytes())


def test_the_stream_reports_errors_per_item_and_goes_on(
    agent: Agent, client: Client, images: list[bytes]
) -> None:
    requests = [
        embedding_pb2.EmbedStreamRequest(text=TEXTS[0]),
        embedding_pb2.EmbedStreamRequest(image=embedding_pb2.Image(encoded=images[0])),
        embedding_pb2.EmbedStreamRequest(text=""),
        embedding_pb2.EmbedStreamRequest(),
        embedding_pb2.EmbedStreamRequest(image=embedding_pb2.Image(encoded=b"no image")),
        embedding_pb2.EmbedStreamRequest(text=TEXTS[1]),
    ]
    with open_channel(agent.address) as channel:
        replies = list(EmbeddingStub(channel).EmbedStream(iter(requests), timeout=30))
    assert [reply.index for reply in replies] == list(range(6))
    kinds = [reply.WhichOneof("result") for reply in replies]
    assert kinds == ["vector", "vector", "error", "error", "error", "vector"]
    assert replies[4].error.code == "BAD_IMAGE"
    assert vectors_from_pb(replies[5].vector) == pytest.approx(
        client.embed_text([TEXTS[1]]), abs=1e-6
    )


def test_a_stream_whose_client_waits_for_each_reply_is_answered_at_once(
    agent: Agent, client: Client
) -> None:
    answered = threading.Semaphore(0)

    def requests() -> Iterator[embedding_pb2.EmbedStreamRequest]:
        for _ in range(5):
            yield embedding_pb2.EmbedStreamRequest(text="port")
            assert answered.acquire(timeout=20)

    with open_channel(agent.address) as channel:
        count = 0
        for _ in EmbeddingStub(channel).EmbedStream(requests(), timeout=30):
            count += 1
            answered.release()
    assert count == 5


def test_an_open_stream_does_not_hold_up_a_swap(agent: Agent, client: Client) -> None:
    goes_on = threading.Event()

    def requests() -> Iterator[embedding_pb2.EmbedStreamRequest]:
        yield embedding_pb2.EmbedStreamRequest(text="port")
        assert goes_on.wait(20)
        yield embedding_pb2.EmbedStreamRequest(text="port")

    with open_channel(agent.address) as channel:
        replies = EmbeddingStub(channel).EmbedStream(requests(), timeout=40)
        first = next(replies)
        agent.load("words")  # returns although the stream is open
        goes_on.set()
        second = next(replies)
    assert first.space_id == second.space_id
    assert client.info().model == "words"


def test_info_names_what_is_served(client: Client, agent: Agent) -> None:
    info = client.info()
    assert (info.model, info.version, info.dimension, info.device) == ("tiny", 1, 16, cpu_class())
    assert [tower.tower for tower in info.towers] == ["vision", "text"]
    assert all(tower.probe_own_cosine_min > 0.999 for tower in info.towers)
    status = agent_rpc.read_status(agent.address)
    assert (status.state, status.model, status.node_id) == ("SERVING", "tiny", info.node_id)


def test_search_equals_brute_force_over_the_same_vectors(
    client: Client, images: list[bytes]
) -> None:
    items = [IndexItem(f"/images/{i}.png", image) for i, image in enumerate(images)]
    outcomes = list(client.index(items))
    assert [outcome.uri for outcome in outcomes] == [item.uri for item in items]
    assert all(outcome.error is None for outcome in outcomes)
    scores = client.embed_image(images) @ client.embed_text([TEXTS[0]])[0]
    order = np.argsort(-scores)[:5]
    hits = client.search(text=TEXTS[0], k=5)
    assert [hit.uri for hit in hits] == [f"/images/{i}.png" for i in order]
    assert [hit.score for hit in hits] == pytest.approx(scores[order], abs=1e-5)
    chances = 1 / (1 + np.exp(-(10 * scores[order] - 5)))  # the manifest's sigmoid
    assert [hit.probability for hit in hits] == pytest.approx(chances, abs=1e-4)
    best = client.search(image=images[3], k=1)[0]
    assert (best.uri, best.score) == ("/images/3.png", pytest.approx(1, abs=1e-5))


def test_indexing_again_changes_nothing_and_deleting_removes(
    client: Client, images: list[bytes]
) -> None:
    items = [IndexItem(f"/images/{i}.png", image) for i, image in enumerate(images)]
    for _ in range(2):
        list(client.index(items, collection="harbours"))
    (info,) = client.collections()
    assert (info.name, info.points, info.space_id) == ("harbours", 12, client.info().space_id)
    assert client.delete(["/images/0.png", "/images/nothing.png"], collection="harbours") == 1
    assert client.collections()[0].points == 11


def test_a_bad_image_is_skipped_with_its_reason_and_the_rest_is_stored(
    client: Client, images: list[bytes]
) -> None:
    items = [IndexItem("/a", images[0]), IndexItem("/b", b""), IndexItem("/c", images[2])]
    outcomes = list(client.index(items))
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, BadImage)
    assert client.collections()[0].points == 2


def test_a_bad_payload_costs_its_own_item_only(client: Client, images: list[bytes]) -> None:
    nowhere = Payload(bbox=BoundingBox(7.0, 95.0, 8.0, 99.0))
    items = [
        IndexItem("/a", images[0], nowhere),
        IndexItem("", images[1]),
        IndexItem("/c", images[2]),
    ]
    outcomes = list(client.index(items))
    assert [outcome.error is None for outcome in outcomes] == [False, False, True]
    assert client.collections()[0].points == 1


def test_payloads_come_back_with_the_hits(client: Client, images: list[bytes]) -> None:
    payload = Payload(
        Window(1, 2, 30, 40), BoundingBox(7.0, 50.0, 8.0, 51.0), "2024-05-01T10:30:00Z", ("eu",)
    )
    list(client.index([IndexItem("/a", images[0], payload)]))
    (hit,) = client.search(image=images[0], k=3)
    assert hit.payload == payload


def test_an_unknown_collection_and_a_foreign_vector_are_refused(
    agent: Agent, client: Client, images: list[bytes]
) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        client.search(text="port", collection="nowhere")
    list(client.index([IndexItem("/a", images[0])]))
    request = search_to_pb(
        [QueryPart(vector=np.eye(1, 16, dtype=np.float32)[0])],
        SearchOptions(),
        collection="",
        space_id="7" * 64,
    )
    with open_channel(agent.address) as channel:
        with pytest.raises(SpaceMismatch), translate_errors(agent.address):
            RetrievalStub(channel).Search(request, timeout=20)
        request.space_id = client.info().space_id
        assert len(RetrievalStub(channel).Search(request, timeout=20).hits) == 1
    with pytest.raises(BadInput, match="needs a text"):
        client.search()


def test_an_agent_with_one_tower_says_what_is_missing(agent: Agent, images: list[bytes]) -> None:
    agent.load("words")
    with Client(agent.address) as client:
        assert client.embed_text(TEXTS).shape == (3, 16)
        with pytest.raises(BadInput, match="pull the vision tower"):
            client.embed_image(images)


def test_activation_over_grpc_swaps_remembers_and_reports(
    agent: Agent, client: Client, registry: FakeRegistry
) -> None:
    words = load_state(agent.cache).activation("words")
    agent_rpc.activate(
        agent.address,
        model=words.model,
        version=words.version,
        artifact_ids=words.artifacts,
        providers=words.providers,
        max_batch=4,
        budget_bytes=None,
    )
    assert client.info().model == "words"
    assert load_state(agent.cache).current == "words"
    for _ in range(200):
        if registry.reports and registry.reports[-1].model == "words":
            break
        threading.Event().wait(0.05)
    assert registry.reports[-1].artifact_ids == words.artifacts


def test_a_broken_artifact_is_refused_and_the_old_one_keeps_serving(
    agent: Agent, client: Client
) -> None:
    broken = load_state(agent.cache).activation("broken")
    before = agent.cache.state_path.read_text()
    with pytest.raises(ProbeFailed, match="golden probe"):
        agent_rpc.activate(
            agent.address,
            model=broken.model,
            version=broken.version,
            artifact_ids=broken.artifacts,
            providers=broken.providers,
            max_batch=8,
            budget_bytes=None,
        )
    assert client.info().model == "tiny"
    assert client.embed_text(TEXTS).shape == (3, 16)
    assert json.loads(agent.cache.state_path.read_text()) == json.loads(before)


def test_a_second_agent_on_the_same_data_or_port_is_refused(agent: Agent) -> None:
    with pytest.raises(EnvironmentFault):
        Agent(AgentConfig(home=agent.cache.home, threads=1, listen="127.0.0.1:0"))


def test_a_caller_that_has_gone_does_not_end_the_agent(agent: Agent, client: Client) -> None:
    with open_channel(agent.address) as channel:
        requests = iter([embedding_pb2.EmbedStreamRequest(text="port")] * 500)
        call = EmbeddingStub(channel).EmbedStream(requests)
        next(call)
        call.cancel()
        with pytest.raises(grpc.RpcError):
            for _ in call:
                pass
    assert client.embed_text(TEXTS).shape == (3, 16)
