from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fake_models import fake_activation
from tiny_artifacts import build_artifact
from tiny_node import stock

from rsq.errors import NotFound
from rsq.prediction import predict_peak
from rsq.providers import CPU_PROVIDER, CUDA_PROVIDER
from rsq.records import ArtifactRow
from rsq_agent.cache import Cache
from rsq_agent.inference.footprint import file_bytes, load_seconds, memory_bytes, runs_on_gpu


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
    (artifact_id,) = large.artifacts
    row = ArtifactRow(artifact_id, "text", "fp32", cache.manifest(artifact_id).size_bytes, (), True)
    for provider, device in ((CPU_PROVIDER, "cpu"), (CUDA_PROVIDER, "cuda:NVIDIA L4")):
        for batch in (1, 32):
            told = predict_peak(row, device_class=device, provider=provider, batch=batch)
            asked = replace(large, providers=(provider,), max_batch=batch)
            assert memory_bytes(cache, asked) == pytest.approx(told.peak_bytes, abs=2)
    assert memory_bytes(cache, large) >= memory_bytes(cache, small) + 1_000_000
    assert file_bytes(cache, large) >= file_bytes(cache, small) + 1_000_000
    assert load_seconds(cache, large) > load_seconds(cache, small) > 0
    # What was measured at the pull has neither the hash nor the probe in it.
    assert load_seconds(cache, replace(large, load_seconds=1e-6)) == load_seconds(cache, large)
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
