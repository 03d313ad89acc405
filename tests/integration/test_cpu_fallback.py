"""What is for a GPU on a node without one: an error in serve and in pull, unless it is allowed."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import pytest
from tiny_artifacts import TinyArtifact, build_artifact
from tiny_node import stock

from rsq.errors import CpuFallback
from rsq.onnx_session import available_providers
from rsq.provider_options import DeviceRules
from rsq.providers import CPU_PROVIDER, CUDA_PROVIDER
from rsq.resolve import Choice, Device
from rsq_agent.cache import Cache
from rsq_agent.config import AgentConfig
from rsq_agent.inference.loading import load_model
from rsq_agent.pulling.pull import prove
from rsq_agent.state import Activation

pytestmark = pytest.mark.skipif(
    CUDA_PROVIDER in available_providers(), reason="this machine's ONNX Runtime may run on a GPU"
)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> TinyArtifact:
    return build_artifact(tmp_path_factory.mktemp("text"), "text")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "agent")


@pytest.fixture
def for_cuda(cache: Cache, text: TinyArtifact) -> Activation:
    return dataclasses.replace(stock(cache, [text]), providers=(CUDA_PROVIDER,))


def test_serving_refuses_what_would_run_on_the_cpu(cache: Cache, for_cuda: Activation) -> None:
    with pytest.raises(CpuFallback, match="--allow-cpu"):
        load_model(cache, for_cuda, AgentConfig(home=cache.home, threads=1))


def test_serving_by_leave_says_that_the_cpu_runs_it(
    cache: Cache, for_cuda: Activation, caplog: pytest.LogCaptureFixture
) -> None:
    config = AgentConfig(home=cache.home, threads=1, allow_cpu=True)
    with caplog.at_level(logging.WARNING, "rsq.agent"):
        live = load_model(cache, for_cuda, config)
    try:
        assert live.towers["text"].provider == CPU_PROVIDER
        assert "It runs on the CPU" in caplog.text
        # The state keeps what was asked for, so a repaired driver is used at the next start.
        assert live.activation.providers == (CUDA_PROVIDER,)
    finally:
        for tower in live.towers.values():
            tower.close()


def test_a_pull_refuses_it_too_and_by_leave_reports_what_ran(
    cache: Cache, text: TinyArtifact
) -> None:
    stock(cache, [text])
    choice = Choice("text", "fp32", text.id, CUDA_PROVIDER, 1, 0, True, "files", None)
    device = Device("cpu", (CPU_PROVIDER,))
    with pytest.raises(CpuFallback):
        prove(cache, choice, device=device, batches=(1,), threads=1, source="node:x")
    notices: list[str] = []
    (profile,) = prove(
        cache,
        choice,
        device=device,
        batches=(1,),
        threads=1,
        source="node:x",
        rules=DeviceRules(allow_cpu=True),
        on_notice=notices.append,
    )
    assert profile.provider == CPU_PROVIDER
    assert len(notices) == 1
