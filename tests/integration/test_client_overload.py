"""The client against an agent that has too much to do."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import numpy as np
import pytest

from rsq.client import Client
from rsq.errors import RETRY_AFTER, Exhausted
from rsq.rpc.server import RpcServer
from rsq.v1 import embedding_pb2 as pb
from rsq.v1.embedding_pb2_grpc import EmbeddingServicer, add_EmbeddingServicer_to_server
from rsq.wire.vectors import vectors_to_pb


class BusyAgent(EmbeddingServicer):
    """Refuses as often as `refusals` says, each with its metadata, then answers."""

    def __init__(self) -> None:
        self.refusals: list[dict[str, str]] = []

    def EmbedText(
        self, request: pb.EmbedTextRequest, context: grpc.ServicerContext
    ) -> pb.EmbedTextResponse:
        if self.refusals:
            raise Exhausted("Too much waits.", metadata=self.refusals.pop(0))
        rows = np.ones((len(request.texts), 4), np.float32)
        return pb.EmbedTextResponse(vectors=vectors_to_pb(rows, "float32"))


@pytest.fixture
def agent() -> BusyAgent:
    return BusyAgent()


@pytest.fixture
def address(agent: BusyAgent) -> Iterator[str]:
    add = ("rsq.v1.Embedding", lambda server: add_EmbeddingServicer_to_server(agent, server))
    server = RpcServer([add], listen="127.0.0.1:0")
    server.start()
    yield server.address
    server.stop()


def test_a_busy_agent_is_asked_again_when_it_expects_room(agent: BusyAgent, address: str) -> None:
    agent.refusals = [{RETRY_AFTER: "0.01"}, {RETRY_AFTER: "0.02"}]
    with Client(address) as client:
        assert client.embed_text(["port"]).shape == (1, 4)
    assert agent.refusals == []


@pytest.mark.parametrize(
    "said", [{}, {RETRY_AFTER: "soon"}, {RETRY_AFTER: "-1"}, {RETRY_AFTER: "nan"}]
)
def test_a_refusal_that_names_no_time_is_raised(
    agent: BusyAgent, address: str, said: dict[str, str]
) -> None:
    agent.refusals = [said, said]
    with Client(address) as client, pytest.raises(Exhausted):
        client.embed_text(["port"])
    assert len(agent.refusals) == 1


def test_nobody_waits_beyond_the_timeout(agent: BusyAgent, address: str) -> None:
    agent.refusals = [{RETRY_AFTER: "1000"}, {}]
    with Client(address, timeout_seconds=5) as client, pytest.raises(Exhausted):
        client.embed_text(["port"])
    assert len(agent.refusals) == 1
