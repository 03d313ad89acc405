"""What a running agent says of itself agrees with what its callers saw."""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tiny_artifacts import build_artifact, encode_image
from tiny_node import stock

from rsq.client import Client
from rsq.errors import BadInput, EnvironmentFault, NotFound, ProbeFailed
from rsq.request_id import REQUEST_ID_KEY
from rsq.rpc.agent import read_status
from rsq.rpc.channel import open_channel
from rsq.rpc.guard import Guard
from rsq.v1 import embedding_pb2 as pb
from rsq.v1.embedding_pb2_grpc import EmbeddingStub
from rsq_agent.app import Agent
from rsq_agent.cache import Cache
from rsq_agent.config import AgentConfig
from rsq_agent.http.metrics_server import MetricsServer
from rsq_agent.state import NodeState, save_state

TEXT = {"model": "tiny", "tower": "text", "variant": "fp32"}
VISION = {**TEXT, "tower": "vision"}
EMBED_TEXT = "rsq.v1.Embedding/EmbedText"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    cache = Cache(tmp_path / "agent")
    towers = [build_artifact(tmp_path / name, name) for name in ("vision", "text")]
    broken = build_artifact(tmp_path / "broken", "text", "int8", broken_probe=True)
    state = NodeState().activate(stock(cache, [broken], model="broken"))
    save_state(cache, state.activate(stock(cache, towers)))
    config = AgentConfig(
        home=cache.home,
        threads=1,
        server="127.0.0.1:1",
        listen="127.0.0.1:0",
        metrics="127.0.0.1:0",
        queue_items=8,
        latency_targets={"vision": 60.0},
    )
    with Agent(config) as agent:
        agent.load("tiny")
        yield agent


def _scrape(agent: Agent) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    with urllib.request.urlopen(f"http://{agent.metrics_address}/metrics", timeout=10) as reply:
        text = reply.read().decode()
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    values = {(s.name, frozenset(s.labels.items())): s.value for s in samples}
    assert len(values) == len(samples), "one name and labels, twice"
    return values


def _value(agent: Agent, name: str, **labels: str) -> float:
    return _scrape(agent)[name, frozenset(labels.items())]


def test_requests_items_and_stages_are_counted_as_they_were_made(agent: Agent) -> None:
    with Client(agent.address) as client:
        for index in range(7):
            client.embed_text(["red " * (index + 1)])
        client.embed_image([encode_image((200, 40, 90))] * 3)
        with pytest.raises(BadInput):
            client.embed_image([b"no image"])
    assert _value(agent, "rsq_requests_total", method=EMBED_TEXT, code="OK") == 7
    method = "rsq.v1.Embedding/EmbedImage"
    assert _value(agent, "rsq_requests_total", method=method, code="INVALID_ARGUMENT") == 1
    assert _value(agent, "rsq_items_total", **VISION) == 3
    assert _value(agent, "rsq_batch_items_sum", **VISION) == 3
    assert _value(agent, "rsq_stage_seconds_count", stage="call", **TEXT) == 7
    assert _value(agent, "rsq_queue_items", **TEXT) == 0
    assert 0.999 <= _value(agent, "rsq_probe_cosine", reference="own", **TEXT) <= 1.001
    assert _value(agent, "rsq_resident_bytes") > 10_000_000


def test_a_latency_target_is_shown_where_there_is_one(agent: Agent) -> None:
    targets = {key for key in _scrape(agent) if key[0] == "rsq_latency_target_seconds"}
    assert targets == {("rsq_latency_target_seconds", frozenset(VISION.items()))}
    assert _value(agent, "rsq_latency_target_seconds", **VISION) == 60
    (model,) = [model for model in read_status(agent.address).models if model.towers]
    shown = {tower.tower: tower.latency_target_ms for tower in model.towers}
    assert shown == {"vision": 60_000, "text": 0}


def test_refused_items_are_counted_as_refused(agent: Agent) -> None:
    def overload(index: int) -> grpc.StatusCode:
        texts = [f"{index} {item}" for item in range(8)]
        with open_channel(agent.address) as channel:
            try:
                EmbeddingStub(channel).EmbedText(pb.EmbedTextRequest(texts=texts), timeout=20)
            except grpc.RpcError as e:
                return e.code()  # type: ignore[attr-defined]
        return grpc.StatusCode.OK

    with ThreadPoolExecutor(24) as pool:
        codes = list(pool.map(overload, range(48)))
    refused = codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert refused + codes.count(grpc.StatusCode.OK) == len(codes)
    assert refused > 0
    assert _value(agent, "rsq_refused_items_total", **TEXT) == refused * 8
    labels = {"method": EMBED_TEXT, "code": "RESOURCE_EXHAUSTED"}
    assert _value(agent, "rsq_requests_total", **labels) == refused
    status = read_status(agent.address)
    (text,) = [tower for tower in status.models[0].towers if tower.tower == "text"]
    assert text.refused == refused * 8
    assert text.items == (len(codes) - refused) * 8
    assert 0 < text.p50_ms <= text.p99_ms


@pytest.mark.parametrize("offered", ["job-7", None])
@pytest.mark.parametrize("texts", [["red"], []])
def test_the_request_id_is_the_same_in_the_log_and_the_trailing_metadata(
    agent: Agent, caplog: pytest.LogCaptureFixture, offered: str | None, texts: list[str]
) -> None:
    caplog.set_level(logging.DEBUG, "rsq.rpc")
    metadata = [(REQUEST_ID_KEY, offered)] if offered else []
    with open_channel(agent.address) as channel:
        call = EmbeddingStub(channel).EmbedText.future(
            pb.EmbedTextRequest(texts=texts), metadata=metadata, timeout=20
        )
        code = call.code().name
        trailing = dict(call.trailing_metadata())
        if texts:
            assert call.result().request_id == trailing[REQUEST_ID_KEY]
    request_id = trailing[REQUEST_ID_KEY]
    assert offered in (None, request_id)
    (line,) = [r for r in caplog.records if getattr(r, "method", "") == EMBED_TEXT]
    assert line.request_id == request_id  # type: ignore[attr-defined]
    assert line.code == code  # type: ignore[attr-defined]
    assert line.levelno == (logging.DEBUG if texts else logging.INFO)


def test_the_last_activation_and_its_outcome_are_told(agent: Agent) -> None:
    assert _value(agent, "rsq_last_activation_success") == 1
    with pytest.raises(ProbeFailed):
        agent.load("broken")
    assert _value(agent, "rsq_last_activation_success") == 0
    assert _value(agent, "rsq_activations_total", outcome="PROBE_FAILED") == 1


def test_a_name_that_callers_make_up_never_becomes_a_label(agent: Agent) -> None:
    with open_channel(agent.address) as channel:
        for _ in range(3):
            request = pb.EmbedTextRequest(texts=["red"], model="made-up-name")
            with pytest.raises(grpc.RpcError):
                EmbeddingStub(channel).EmbedText(request, timeout=20)
            with pytest.raises(grpc.RpcError):
                channel.unary_unary("/made/Up")(b"", timeout=20)
    assert "made" not in str(_scrape(agent))
    assert _value(agent, "rsq_requests_total", method=EMBED_TEXT, code=NotFound.code) == 3


def test_metrics_stay_on_loopback_and_a_taken_port_is_named(agent: Agent) -> None:
    class Nothing:
        def collect(self) -> Iterator[None]:
            return iter(())

    config = replace(agent.config, listen="127.0.0.1:0", http=None, metrics="0.0.0.0:0")
    with pytest.raises(BadInput, match="--insecure"):
        Agent(config)
    assert agent.metrics_address is not None
    with pytest.raises(EnvironmentFault, match="in use"):
        MetricsServer(Nothing(), listen=agent.metrics_address, guard=Guard())  # type: ignore[arg-type]
