from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fake_models import fake_activation
from tiny_artifacts import build_artifact
from tiny_node import stock

from rsq.errors import NotFound
from rsq_agent.cache import Cache
from rsq_agent.footprint import load_seconds, memory_bytes, runs_on_gpu


def test_what_was_measured_here_counts() -> None:
    activation = fake_activation(peak_bytes=123)
    assert (
        memory_bytes(Cache(Path("/")), activation),
        load_seconds(Cache(Path("/")), activation),
    ) == (
        123,
        2.0,
    )


def test_else_the_sizes_of_the_files_do(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "agent")
    small, large = (
        replace(
            stock(cache, [build_artifact(tmp_path / str(size), "text", padding_bytes=size)]),
            peak_bytes=None,
            load_seconds=None,
        )
        for size in (0, 1_000_000)
    )
    assert memory_bytes(cache, large) >= memory_bytes(cache, small) + 1_000_000
    assert load_seconds(cache, large) > load_seconds(cache, small) > 0
    with pytest.raises(NotFound, match="not on this node"):
        memory_bytes(Cache(tmp_path / "empty"), small)


@pytest.mark.parametrize(
    ("provider", "on_gpu"),
    [
        ("CPUExecutionProvider", False),
        ("TorchCPU", False),
        ("CUDAExecutionProvider", True),
        ("TensorrtExecutionProvider", True),
        ("TorchCUDA", True),
    ],
)
def test_the_provider_says_whose_memory_it_is(provider: str, on_gpu: bool) -> None:
    both = ("CPUExecutionProvider", provider)
    assert runs_on_gpu(replace(fake_activation(), providers=both)) is on_gpu
