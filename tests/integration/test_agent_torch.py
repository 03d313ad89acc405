"""A running agent that serves a torch program beside an ONNX tower, over real gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_registry import FakeRegistry, serve_registry
from tiny_artifacts import TinyArtifact, build_artifact, build_version, encode_image
from torch_artifacts import build_torch_artifact

from rsq.client import Client
from rsq.encoder import Encoder
from rsq.errors import EnvironmentFault, NothingFits
from rsq.providers import CPU_PROVIDER, TORCH_CPU, TORCH_CUDA
from rsq.resolve import Device, Request
from rsq.rpc.registry import RegistryClient
from rsq_agent.app import Agent
from rsq_agent.cache import Cache
from rsq_agent.config import AgentConfig
from rsq_agent.pulling.pull import PullPlan, fetch_plan, plan_pull, prove, to_activation
from rsq_agent.state import NodeState, save_state

CPU_NODE = Device("cpu", (CPU_PROVIDER, TORCH_CPU))
TEXTS = ["port with large cargo ships", "red forest"]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TinyArtifact]:
    folder = tmp_path_factory.mktemp("artifacts")
    return {
        "vision": build_torch_artifact(folder / "v", "vision"),
        "text": build_artifact(folder / "t", "text"),
    }


@pytest.fixture
def server(artifacts: dict[str, TinyArtifact]) -> Iterator[str]:
    registry = FakeRegistry()
    parts = list(artifacts.values())
    registry.add(build_version([part.row() for part in parts]), parts)
    with serve_registry(registry) as address:
        yield address


def _pull(server: str, cache: Cache, request: Request) -> PullPlan:
    with RegistryClient(server) as client:
        plan = plan_pull(client, cache, "tiny", request)
        fetch_plan(client, cache, plan, readers=2, on_bytes=lambda count: None)
    return plan


def _config(server: str, cache: Cache) -> AgentConfig:
    return AgentConfig(home=cache.home, threads=1, server=server, listen="127.0.0.1:0")


def test_a_torch_program_is_pulled_proved_and_served(
    server: str, artifacts: dict[str, TinyArtifact], tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "agent")
    request = Request(CPU_NODE)
    plan = _pull(server, cache, request)
    vision, text = plan.resolution.chosen
    assert (vision.provider, text.provider) == (TORCH_CPU, CPU_PROVIDER)
    (profile,) = prove(cache, vision, device=CPU_NODE, batches=(2,), threads=1, source="node")
    assert (profile.provider, profile.device) == (TORCH_CPU, "cpu")
    save_state(cache, NodeState().activate(to_activation(plan, request)))

    images = [encode_image((30 * i, 200 - 20 * i, 90)) for i in range(7)]
    direct = {
        name: Encoder(artifact.folder, artifact.manifest, provider=provider)
        for (name, artifact), provider in zip(
            artifacts.items(), (TORCH_CPU, CPU_PROVIDER), strict=True
        )
    }
    with Agent(_config(server, cache)) as agent:
        agent.load("tiny")
        with Client(agent.address) as client:
            rows = client.embed_image(images)
            assert rows == pytest.approx(direct["vision"].embed_images(images), abs=1e-6)
            assert client.embed_text(TEXTS) == pytest.approx(
                direct["text"].embed_texts(TEXTS), abs=1e-6
            )
            alone = np.concatenate([client.embed_image([image]) for image in images])
            assert (alone * rows).sum(axis=1).min() >= 0.99999
            assert [tower.provider for tower in client.info().towers] == [TORCH_CPU, CPU_PROVIDER]


def test_a_node_without_torch_is_told_why_nothing_fits(server: str, tmp_path: Path) -> None:
    request = Request(Device("cpu", (CPU_PROVIDER,)), ("vision",))
    with RegistryClient(server) as client, pytest.raises(NothingFits) as caught:
        plan_pull(client, Cache(tmp_path / "agent"), "tiny", request)
    (candidate,) = caught.value.candidates
    assert "TorchCUDA, TorchCPU" in str(candidate)


def test_an_activation_for_a_gpu_that_is_gone_serves_nothing(server: str, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    cache = Cache(tmp_path / "agent")
    request = Request(Device("cuda:NVIDIA L4", (TORCH_CUDA,)), ("vision",))
    plan = _pull(server, cache, request)
    save_state(cache, NodeState().activate(to_activation(plan, request)))
    with (
        Agent(_config(server, cache)) as agent,
        pytest.raises(EnvironmentFault, match="torch finds no CUDA device"),
    ):
        agent.load("tiny")
