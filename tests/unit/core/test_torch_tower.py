from __future__ import annotations

import dataclasses
import importlib.util
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_artifacts import TinyArtifact, encode_image
from torch_artifacts import LinearTower, build_torch_artifact, example_inputs, save_program

from rsq.encoder import ONNX_FORMAT, Encoder
from rsq.errors import EnvironmentFault, IntegrityError, InternalError
from rsq.provider_options import DeviceRules
from rsq.providers import CPU_PROVIDER, TORCH_CPU, TORCH_CUDA
from rsq.similarity import row_cosines
from rsq.torch_tower import PROGRAM_NAME, TorchTower, return_cuda_memory, torch_providers

TEXTS = ["port with large cargo ships", "red forest", "blue river"]


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> TinyArtifact:
    return build_torch_artifact(tmp_path_factory.mktemp("vision"), "vision")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> TinyArtifact:
    return build_torch_artifact(tmp_path_factory.mktemp("text"), "text")


def _twin(artifact: TinyArtifact) -> Encoder:
    return Encoder(
        artifact.folder / "onnx",
        dataclasses.replace(
            artifact.manifest,
            format=ONNX_FORMAT,
            files=tuple(
                dataclasses.replace(entry, name="model.onnx") if entry.role == "graph" else entry
                for entry in artifact.manifest.files
            ),
        ),
    )


def _open(artifact: TinyArtifact, provider: str = TORCH_CPU, threads: int = 1) -> TorchTower:
    return TorchTower(artifact.folder / PROGRAM_NAME, provider=provider, threads=threads)


def test_both_formats_of_one_tower_give_the_same_unit_vectors(
    vision: TinyArtifact, text: TinyArtifact
) -> None:
    images = [encode_image((20 * i, 255 - 9 * i, 7)) for i in range(5)]
    for artifact, embed in (
        (vision, lambda encoder: encoder.embed_images(images)),
        (text, lambda encoder: encoder.embed_texts(TEXTS)),
    ):
        rows = embed(Encoder(artifact.folder, artifact.manifest, provider=TORCH_CPU))
        assert rows.dtype == np.float32
        assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-6)
        assert rows == pytest.approx(embed(_twin(artifact)), abs=1e-6)


def test_one_tower_serves_many_threads_and_any_batch(vision: TinyArtifact) -> None:
    tower = _open(vision)
    inputs = example_inputs("vision", 24).numpy()
    together = tower.embed(inputs)
    with ThreadPoolExecutor(4) as pool:
        alone = np.concatenate(list(pool.map(lambda row: tower.embed(row[None]), inputs)))
    assert row_cosines(alone, together).min() >= 0.99999


def test_a_call_uses_the_towers_threads_and_leaves_the_callers_alone(vision: TinyArtifact) -> None:
    tower = _open(vision, threads=3)
    seen: list[int] = []
    run = tower._module

    def watch(inputs: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return run(inputs)

    tower._module = watch
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        tower.embed(example_inputs("vision").numpy())
        assert seen == [3]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_read_only_inputs_are_taken_as_they_come_from_the_wire(text: TinyArtifact) -> None:
    ids = np.frombuffer(example_inputs("text").numpy().tobytes(), np.int64).reshape(2, -1)
    assert not ids.flags.writeable
    assert _open(text).embed(ids).shape == (2, 16)


def test_a_tower_that_fails_or_returns_nan_is_an_internal_error(
    vision: TinyArtifact, tmp_path: Path
) -> None:
    with pytest.raises(InternalError, match="Inference failed"):
        _open(vision).embed(np.zeros((1, 3, 5, 5), np.float32))
    module = LinearTower(vision.folder / "onnx" / "model.onnx")
    module.bias.fill_(torch.nan)
    save_program(module, example_inputs("vision"), tmp_path / PROGRAM_NAME)
    broken = TorchTower(tmp_path / PROGRAM_NAME, provider=TORCH_CPU, threads=1)
    with pytest.raises(InternalError):
        broken.embed(example_inputs("vision").numpy())


def test_a_damaged_program_is_one_sentence(vision: TinyArtifact, tmp_path: Path) -> None:
    data = (vision.folder / PROGRAM_NAME).read_bytes()
    path = tmp_path / PROGRAM_NAME
    for wrong in (b"", b"no archive", data[: len(data) // 2]):
        path.write_bytes(wrong)
        with pytest.raises(EnvironmentFault, match="torch can't load this artifact with TorchCPU"):
            TorchTower(path, provider=TORCH_CPU, threads=1)


def test_a_program_with_a_pickle_is_refused_unread(vision: TinyArtifact, tmp_path: Path) -> None:
    module = LinearTower(vision.folder / "onnx" / "model.onnx")
    program = torch.export.export(module, (example_inputs("vision"),))
    torch.export.save(program, tmp_path / PROGRAM_NAME)
    with pytest.raises(IntegrityError, match="pickled sample inputs"):
        TorchTower(tmp_path / PROGRAM_NAME, provider=TORCH_CPU, threads=1)


def test_a_provider_of_the_other_runtime_is_refused(vision: TinyArtifact) -> None:
    with pytest.raises(EnvironmentFault, match="TorchCPU or TorchCUDA, not on CPUExecutionProv"):
        Encoder(vision.folder, vision.manifest, provider=CPU_PROVIDER)
    twin = _twin(vision).manifest
    with pytest.raises(EnvironmentFault):
        Encoder(vision.folder / "onnx", twin, provider=TORCH_CPU)


def test_a_node_without_torch_is_told_what_to_install(
    vision: TinyArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EnvironmentFault, match=r"rsq-agent\[torch\]"):
        _open(vision)


def test_a_missing_gpu_is_an_error_not_a_fallback(vision: TinyArtifact) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(EnvironmentFault, match="torch finds no CUDA device"):
        _open(vision, TORCH_CUDA)


def test_cuda_gives_the_vectors_of_the_cpu(vision: TinyArtifact, text: TinyArtifact) -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device here")
    for artifact in (vision, text):
        inputs = example_inputs(artifact.manifest.tower, 3).numpy()
        rows = _open(artifact, TORCH_CUDA).embed(inputs)
        assert row_cosines(rows, _open(artifact).embed(inputs)).min() >= 0.9999


def test_memory_on_cuda_is_given_back_where_torch_holds_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    emptied: list[bool] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    return_cuda_memory()
    assert not emptied
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    return_cuda_memory()
    assert emptied
    monkeypatch.delitem(sys.modules, "torch")
    return_cuda_memory()
    assert len(emptied) == 1
    assert "torch" not in sys.modules


def test_a_budget_caps_what_torch_takes_of_the_gpu(
    vision: TinyArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []
    gpu = SimpleNamespace(total_memory=1000)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: gpu)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    monkeypatch.setattr(TorchTower, "_load", lambda self, path: None)
    for memory_bytes in (250, 4000, None):
        TorchTower(vision.folder, provider=TORCH_CUDA, threads=1, rules=DeviceRules(memory_bytes))
    assert shares == [0.25, 1.0]


def test_providers_are_those_of_the_installed_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert torch_providers(gpu=False) == (TORCH_CPU,)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert torch_providers(gpu=True) == (TORCH_CUDA, TORCH_CPU)
    # A build of torch for CPUs beside a GPU.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert torch_providers(gpu=True) == (TORCH_CPU,)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert torch_providers(gpu=True) == ()


@pytest.mark.parametrize(
    "statement",
    [
        "import rsq.encoder, rsq.torch_tower, rsq.profiling",
        "import rsq_agent.app, rsq_agent.cli.main",
        "from rsq.torch_tower import torch_providers; torch_providers(gpu=False)",
    ],
)
def test_torch_is_not_imported_before_a_program_is_opened(statement: str) -> None:
    code = f"import sys; {statement}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
