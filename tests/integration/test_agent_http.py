"""The agent's HTTP endpoint and classification, on tiny real artifacts and real sockets."""

from __future__ import annotations

import base64
import dataclasses
import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tiny_artifacts import build_artifact, encode_image
from tiny_node import stock

from rsq.client import Client
from rsq.errors import BadImage, BadInput, NotFound
from rsq.rpc.channel import open_channel
from rsq.v1 import embedding_pb2 as pb
from rsq.v1.embedding_pb2_grpc import EmbeddingStub
from rsq_agent.app import Agent
from rsq_agent.cache import Cache
from rsq_agent.config import AgentConfig
from rsq_agent.http import http_connections, http_server
from rsq_agent.state import NodeState, save_state

IMAGE = encode_image((200, 30, 90))
LABELS = ["port", "forest", "river"]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    folder = tmp_path_factory.mktemp("http")
    parts = [build_artifact(folder / "v", "vision"), build_artifact(folder / "t", "text")]
    cache = Cache(folder / "agent")
    words = stock(cache, parts[1:], model="words")
    tiny = stock(cache, parts)
    save_state(cache, NodeState().activate(words).activate(tiny))
    config = AgentConfig(
        home=cache.home,
        threads=1,
        server="127.0.0.1:1",
        listen="127.0.0.1:0",
        http="127.0.0.1:0",
    )
    with Agent(config) as agent:
        assert ask(agent, "GET", "/healthz")[0] == 200
        assert ask(agent, "GET", "/readyz")[0] == 503
        agent.load(None)
        yield agent


@pytest.fixture
def client(agent: Agent) -> Iterator[Client]:
    with Client(agent.address) as client:
        yield client


def ask(
    agent: Agent, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, Any], http.client.HTTPMessage]:
    assert agent.http_address is not None
    connection = http.client.HTTPConnection(agent.http_address, timeout=30)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} | headers)
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read()), reply.headers
    finally:
        connection.close()


def embed(agent: Agent, given: object, **fields: object) -> tuple[int, dict[str, Any]]:
    body = json.dumps({"input": given, **fields}).encode()
    return ask(agent, "POST", "/v1/embeddings", body)[:2]


def data_uri(data: bytes) -> dict[str, str]:
    return {"image": "data:image/png;base64," + base64.b64encode(data).decode()}


def test_http_gives_the_vectors_of_grpc_in_both_encodings_and_mixed(
    agent: Agent, client: Client
) -> None:
    status, reply = embed(agent, ["port", data_uri(IMAGE), "forest"], user="me")
    assert (status, reply["object"], reply["model"], reply["version"]) == (200, "list", "tiny", 1)
    rows = np.array([item["embedding"] for item in reply["data"]], np.float32)
    assert [item["index"] for item in reply["data"]] == [0, 1, 2]
    assert rows[[0, 2]] == pytest.approx(client.embed_text(["port", "forest"]), abs=1e-6)
    assert rows[1:2] == pytest.approx(client.embed_image([IMAGE]), abs=1e-6)
    status, reply = embed(agent, "port", encoding_format="base64", model="tiny")
    packed = np.frombuffer(base64.b64decode(reply["data"][0]["embedding"]), "<f4")
    assert packed == pytest.approx(rows[0], abs=1e-6)


def test_models_health_and_readiness_are_told(agent: Agent) -> None:
    assert [row["id"] for row in ask(agent, "GET", "/v1/models")[1]["data"]] == ["tiny", "words"]
    assert ask(agent, "GET", "/healthz")[0] == ask(agent, "GET", "/readyz")[0] == 200


@pytest.mark.parametrize(
    ("given", "fields", "status", "words"),
    [
        ("port", {"dimensions": 8}, 400, "dimensions"),
        ("port", {"model": "gpt"}, 404, "gpt"),
        ("port", {"model": 3}, 400, "model"),
        ("port", {"encoding_format": "int8"}, 400, "base64"),
        ([], {}, 400, "input"),
        ([1, 2], {}, 400, "Token ids"),
        (["port", ""], {}, 400, "item 1:"),
        (["port"] * 257, {}, 400, "256"),
        ("x" * 1_000_000, {}, 400, "65536"),
        ("\ud800", {}, 400, "surrogate"),
        ([{"image": "http://example.com/a.png"}], {}, 400, "data URI"),
        (["port", data_uri(b"")], {}, 400, "item 1: The image is empty"),
        (["port", data_uri(IMAGE[:60])], {}, 400, "item 1:"),
        ([data_uri(IMAGE)], {"model": "words"}, 400, "vision tower"),
    ],
)
def test_bad_requests_are_answered_with_openais_error_object(
    agent: Agent, given: object, fields: dict[str, object], status: int, words: str
) -> None:
    got, reply = embed(agent, given, **fields)
    assert got == status
    assert words in reply["error"]["message"]
    assert reply["error"]["type"] == "invalid_request_error"
    assert reply["error"]["code"] in ("BAD_INPUT", "BAD_IMAGE", "NOT_FOUND")
    assert embed(agent, "port")[0] == 200


def bomb() -> bytes:
    """A PNG head of 100 megapixels."""
    png = bytearray(IMAGE)
    png[16:24] = (10_000).to_bytes(4, "big") * 2
    import zlib

    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    return bytes(png)


@pytest.mark.parametrize("data", [b"", bomb(), IMAGE[:-40], b"GIF89a"])
def test_bad_images_are_refused_by_both_doors(agent: Agent, client: Client, data: bytes) -> None:
    with pytest.raises(BadImage, match="item 0:"):
        client.embed_image([data])
    with pytest.raises(BadImage, match="item 0:"):
        client.classify([data], LABELS)
    assert embed(agent, [data_uri(data)])[1]["error"]["code"] == "BAD_IMAGE"


@pytest.mark.parametrize("text", ["a\x00b\x1b[31m", "码头 ميناء гавань", "🚢" * 100])
def test_any_text_is_embedded(agent: Agent, client: Client, text: str) -> None:
    status, reply = embed(agent, text)
    assert status == 200
    assert np.array(reply["data"][0]["embedding"]) == pytest.approx(
        client.embed_text([text])[0], abs=1e-6
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/nothing", None, {}, 404),
        ("GET", "/v1/embeddings", None, {}, 405),
        ("DELETE", "/v1/models", None, {}, 405),
        ("POST", "/v1/embeddings", b"{", {}, 400),
        ("POST", "/v1/embeddings", b"[" * 100_000, {}, 400),
        ("POST", "/v1/embeddings", b"{}", {"Content-Type": "text/plain"}, 415),
        ("POST", "/v1/embeddings", None, {"Content-Length": "99999999999"}, 413),
        ("POST", "/v1/embeddings", None, {"Content-Length": "-1"}, 400),
        ("POST", "/v1/embeddings", None, {"Transfer-Encoding": "chunked"}, 411),
    ],
)
def test_what_http_forbids_has_its_status(
    agent: Agent, method: str, path: str, body: bytes | None, headers: dict[str, str], status: int
) -> None:
    got, reply, _ = ask(agent, method, path, body, **headers)
    assert got == status
    assert reply["error"]["message"]


def test_the_callers_request_id_comes_back_by_both_doors(agent: Agent) -> None:
    body = b'{"input": "port"}'
    headers = ask(agent, "POST", "/v1/embeddings", body, **{"x-request-id": "mine-1"})[2]
    assert headers["x-request-id"] == "mine-1"
    with open_channel(agent.address) as channel:
        stub = EmbeddingStub(channel)
        for offered, kept in (("mine-2", True), ("x" * 500, False)):
            reply, call = stub.EmbedText.with_call(
                pb.EmbedTextRequest(texts=["port"], model="tiny"),
                metadata=(("x-request-id", offered),),
            )
            assert (reply.request_id == offered) is kept
            assert (reply.model, reply.version) == ("tiny", 1)
            assert dict(call.trailing_metadata())["x-request-id"] == reply.request_id


def test_clients_that_stall_or_leave_cost_one_bounded_thread(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "HEADER_SECONDS", 0.2)
    monkeypatch.setattr(http_server, "BODY_SECONDS", 0.2)
    host, _, port = str(agent.http_address).rpartition(":")
    head = (
        b"POST /v1/embeddings HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n"
    )
    for sent in (b"", b"GET /heal", head, head + b"\r\n{"):
        with socket.create_connection((host, int(port)), timeout=20) as stalled:
            stalled.sendall(sent)
            assert stalled.recv(1000) == b""  # the agent hung up
    with socket.create_connection((host, int(port)), timeout=20) as leaving:
        leaving.sendall(head + b"\r\n{")
    assert embed(agent, "port")[0] == 200


def test_a_busy_agent_still_tells_its_supervisor_that_it_lives(agent: Agent) -> None:
    host, _, port = str(agent.http_address).rpartition(":")
    with ExitStack() as stack:

        def hold() -> socket.socket:
            made = socket.create_connection((host, int(port)), timeout=20)
            return stack.enter_context(made)

        for _ in range(http_connections.MAX_CONNECTIONS):
            hold()
        status, _, headers = ask(agent, "GET", "/healthz")
        assert (status, headers["Connection"]) == (200, "close")
        assert ask(agent, "GET", "/readyz")[0] == 200
        assert embed(agent, "port")[0] == 429
        # Who holds such a place without a word soon loses it, and each was given back.
        for _ in range(2):
            first = hold()
            others = [hold() for _ in range(http_connections.HEALTH_CONNECTIONS)]
            assert first.recv(1000) == b""
            assert others[-1].recv(12) in (b"HTTP/1.1 503", b"")
            threading.Event().wait(http_connections.HEALTH_SECONDS)
        assert ask(agent, "GET", "/healthz")[0] == 200


def test_too_many_connections_are_turned_away(agent: Agent) -> None:
    host, _, port = str(agent.http_address).rpartition(":")
    held = [socket.create_connection((host, int(port)), timeout=20) for _ in range(80)]
    try:
        assert held[-1].recv(12) == b"HTTP/1.1 503"
    finally:
        for connection in held:
            connection.close()
    for _ in range(100):
        try:
            if embed(agent, "port")[0] == 200:
                return
        except (OSError, ValueError, http.client.HTTPException):
            pass
        threading.Event().wait(0.05)
    pytest.fail("The agent did not answer again.")


def test_probabilities_equal_the_manifests_sigmoid(client: Client) -> None:
    images = [IMAGE, encode_image((10, 200, 90))]
    results = client.classify(images, LABELS, template="a {} of ships", top=2)
    texts = client.embed_text([f"a {label} of ships" for label in LABELS])
    cosines = client.embed_image(images) @ texts.T
    for scores, row in zip(results, cosines, strict=True):
        order = np.argsort(-row)[:2]
        assert [score.label for score in scores] == [LABELS[i] for i in order]
        assert [s.cosine for s in scores] == pytest.approx(row[order], abs=1e-5)
        chances = 1 / (1 + np.exp(-(10 * row[order] - 5)))
        assert [s.probability for s in scores] == pytest.approx(chances, abs=1e-5)


def test_what_cannot_be_classified_is_explained(agent: Agent, client: Client) -> None:
    for labels, template, words in (
        ([], "", "no labels"),
        (["port", "port"], "", "twice"),
        (["port", " "], "", "empty"),
        (LABELS, "a satellite image", "one {}"),
        ([str(i) for i in range(1001)], "", "1000"),
    ):
        with pytest.raises(BadInput, match=words):
            client.classify([IMAGE], labels, template=template)
    with Client(agent.address, "words") as words_only:
        assert words_only.info().model == "words"
        with pytest.raises(BadInput, match="vision tower"):
            words_only.classify([IMAGE], LABELS)
    with Client(agent.address, "nobody") as unknown, pytest.raises(NotFound, match="nobody"):
        unknown.embed_text(["port"])


def test_the_client_sends_pixels_and_asks_for_smaller_replies(client: Client) -> None:
    full = client.embed_image([IMAGE])
    pixels = np.zeros((3, 8, 8), np.float32)
    assert client.embed_image([pixels, IMAGE])[1] == pytest.approx(full[0], abs=1e-6)
    for dtype, tolerance in (("float16", 1e-3), ("int8", 0.01)):
        rows = client.embed_image([IMAGE], dtype=dtype)  # type: ignore[arg-type]
        assert rows.dtype == np.float32
        assert rows == pytest.approx(full, abs=tolerance)
        assert rows.tobytes() != full.tobytes()
    for bad in (pixels.astype(np.float64), pixels[0], np.zeros((3, 9, 8), np.float32)):
        with pytest.raises(BadInput, match=r"float32|NaN"):
            client.embed_image([bad])
    with pytest.raises(BadInput, match="NaN"):
        client.embed_image([pixels + np.float32(np.nan)])


def test_a_stream_may_name_several_models(agent: Agent) -> None:
    requests = [pb.EmbedStreamRequest(text="port", model=m) for m in ("tiny", "words", "no", "")]
    with open_channel(agent.address) as channel:
        replies = list(EmbeddingStub(channel).EmbedStream(iter(requests), timeout=30))
    kinds = [reply.WhichOneof("result") for reply in replies]
    assert kinds == ["vector", "vector", "error", "vector"]
    assert replies[2].error.code == "NOT_FOUND"


def test_a_stream_that_nobody_reads_leaves_the_agent_alive(agent: Agent, client: Client) -> None:
    requests = [pb.EmbedStreamRequest(text="port")] * 400
    with open_channel(agent.address) as channel:
        call = EmbeddingStub(channel).EmbedStream(iter(requests))
        assert client.embed_text(["forest"]).shape == (1, 16)
        call.cancel()
        assert call.code() is grpc.StatusCode.CANCELLED


def test_the_openai_client_works_unchanged(agent: Agent) -> None:
    program = f"""
from openai import NotFoundError, OpenAI
client = OpenAI(base_url="http://{agent.http_address}/v1", api_key="none")
rows = client.embeddings.create(model="tiny", input=["port", "forest"]).data
assert [len(row.embedding) for row in rows] == [16, 16]
assert client.models.list().data[0].id == "tiny"
try:
    client.embeddings.create(model="gpt", input="port")
except NotFoundError as e:
    assert e.code == "NOT_FOUND", e.code
else:
    raise SystemExit("an unknown model was answered")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_the_command_prints_labels_an_image(
    agent: Agent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rsq_agent.cli.main import app

    (tmp_path / "a.png").write_bytes(IMAGE)
    (tmp_path / "labels.txt").write_text("port\n\nforest\n")
    arguments = ["classify", str(tmp_path), "--agent", agent.address, "--json", "--labels"]
    app([*arguments, str(tmp_path / "labels.txt"), "--top", "1"], standalone_mode=False)
    (row,) = json.loads(capsys.readouterr().out)["images"]
    assert row["image"].endswith("a.png")
    assert len(row["labels"]) == 1
    app([*arguments[:-2], "--labels", "port,forest"], standalone_mode=False)
    assert "probability" in capsys.readouterr().out


def test_a_bind_beyond_loopback_is_refused(agent: Agent) -> None:
    config = dataclasses.replace(agent.config, http="0.0.0.0:0", listen="127.0.0.1:0")
    with pytest.raises(BadInput, match="insecure"):
        Agent(config)
