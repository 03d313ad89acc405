"""What the agent finds when it checks itself for systemd's watchdog."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_registry import FakeRegistry, serve_registry
from tiny_artifacts import build_artifact, build_version

from rsq.providers import CPU_PROVIDER
from rsq.resolve import Device, Request
from rsq.rpc.health import is_serving
from rsq.rpc.registry import RegistryClient
from rsq_agent.app import AGENT_SERVICE, Agent
from rsq_agent.cache import Cache
from rsq_agent.config import AgentConfig
from rsq_agent.pulling.pull import fetch_plan, plan_pull, to_activation
from rsq_agent.state import NodeState, save_state


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """One that listens on every interface, with a text tower that it has pulled and not loaded."""
    artifact = build_artifact(tmp_path / "files", "text")
    registry = FakeRegistry()
    registry.add(build_version([artifact.row()]), [artifact])
    cache = Cache(tmp_path / "agent")
    request = Request(Device("cpu", (CPU_PROVIDER,)), ("text",))
    with serve_registry(registry) as server:
        with RegistryClient(server) as client:
            plan = plan_pull(client, cache, "tiny", request)
            fetch_plan(client, cache, plan, readers=1, on_bytes=lambda count: None)
        save_state(cache, NodeState().activate(to_activation(plan, request)))
        config = AgentConfig(
            home=cache.home, threads=1, server=server, listen="0.0.0.0:0", insecure=True
        )
        with Agent(config) as agent:
            yield agent


def test_an_agent_answers_before_and_after_it_has_a_model(agent: Agent) -> None:
    assert agent.is_answering()
    agent.load(None)
    assert agent.is_answering()


def test_an_agent_whose_workers_have_ended_does_not_answer(agent: Agent) -> None:
    model = agent.load(None)
    model.tower("text").batcher.close()
    assert not agent.is_answering()


def test_an_agent_that_takes_no_calls_does_not_answer(agent: Agent) -> None:
    assert is_serving(agent.address, AGENT_SERVICE)
    agent.__exit__(None, None, None)
    assert not agent.is_answering()
    assert not is_serving(agent.address, AGENT_SERVICE)
