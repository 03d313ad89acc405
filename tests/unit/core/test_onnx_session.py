from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from fake_onnxruntime import CPU, FakeRuntime
from tiny_artifacts import TinyArtifact, build_artifact

from rsq.encoder import Encoder
from rsq.errors import CpuFallback, EnvironmentFault, Exhausted, InternalError
from rsq.onnx_session import TowerSession, available_providers
from rsq.provider_options import NO_RULES, DeviceRules
from rsq.providers import CUDA_PROVIDER, OPENVINO_PROVIDER, TENSORRT_PROVIDER

LEAVE = DeviceRules(allow_cpu=True)
ON_CUDA = {CUDA_PROVIDER: {"MatMul": 9}, CPU: {"Shape": 1}}
MOSTLY_ON_CPU = {CUDA_PROVIDER: {"Gelu": 2}, CPU: {"MatMulInteger": 9}}


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    fake = FakeRuntime((TENSORRT_PROVIDER, CUDA_PROVIDER, CPU), placements=dict(ON_CUDA))
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)  # type: ignore[arg-type]
    return fake


def _open(provider: str = CUDA_PROVIDER, rules: DeviceRules = NO_RULES) -> TowerSession:
    return TowerSession(
        Path("model.onnx"), input_name="pixel_values", provider=provider, threads=2, rules=rules
    )


def test_a_graph_that_runs_as_asked_has_no_notice(
    runtime: FakeRuntime, capfd: pytest.CaptureFixture[str]
) -> None:
    session = _open()
    assert (session.provider, session.notice) == (CUDA_PROVIDER, None)
    assert session.embed(np.eye(2, dtype=np.float32)).tolist() == [[1, 0], [0, 1]]
    assert [name for name, _ in runtime.opened[0]] == [CUDA_PROVIDER]
    assert runtime.preloads == 1
    assert capfd.readouterr().out == ""  # a command's JSON goes there


@pytest.mark.parametrize(
    ("placements", "reason"),
    [
        (MOSTLY_ON_CPU, "9 of its 11 operators run on the CPU"),
        ({CUDA_PROVIDER: {}, CPU: {"MatMul": 9}}, "none of its 9 operators run on cuda"),
        ({CPU: {"MatMul": 9}}, "could not start it and runs cpu"),
    ],
)
def test_a_fallback_is_an_error_unless_it_is_allowed_and_then_it_is_told(
    runtime: FakeRuntime, placements: dict[str, dict[str, int]], reason: str
) -> None:
    runtime.placements = placements
    with pytest.raises(CpuFallback, match=reason) as caught:
        _open()
    assert caught.value.code == "CPU_FALLBACK"
    assert "--allow-cpu" in caught.value.message
    session = _open(rules=LEAVE)
    assert session.notice is not None
    assert reason in session.notice
    assert session.provider == (CUDA_PROVIDER if placements is MOSTLY_ON_CPU else CPU)


def test_a_provider_that_the_flavour_lacks_is_a_fallback(runtime: FakeRuntime) -> None:
    with pytest.raises(CpuFallback, match="Install the flavour"):
        _open(OPENVINO_PROVIDER)
    assert runtime.opened == []
    assert _open(OPENVINO_PROVIDER, LEAVE).provider == CPU


def test_a_graph_that_a_provider_cannot_load_runs_on_the_cpu_by_leave_only(
    runtime: FakeRuntime,
) -> None:
    runtime.load_error = "[ONNXRuntimeError] : 1 : FAIL : x.cc:9 thrown\n\nNo such operator: Gelu\n"
    with pytest.raises(EnvironmentFault, match="with cuda: No such operator: Gelu"):
        _open()
    session = _open(rules=LEAVE)
    assert session.provider == CPU
    assert session.notice is not None
    assert "No such operator" in session.notice


def test_a_runtime_that_cannot_tell_where_nodes_run_is_too_old(runtime: FakeRuntime) -> None:
    runtime.can_tell = False
    with pytest.raises(EnvironmentFault, match=r"older than 1\.24"):
        _open()


def test_a_spent_budget_says_what_to_do(runtime: FakeRuntime) -> None:
    runtime.run_error = "BFCArena: Available memory of 5 is smaller than requested bytes of 9"
    with pytest.raises(Exhausted, match="--max-batch"):
        _open().embed(np.ones((2, 2), np.float32))
    runtime.run_error = "CUDA failure 700: an illegal memory access was encountered"
    with pytest.raises(InternalError, match="illegal"):
        _open().embed(np.ones((2, 2), np.float32))
    runtime.load_error = "Failed to allocate memory for requested buffer of size 9"
    with pytest.raises(EnvironmentFault, match="--vram"):
        _open()


def test_caches_are_made_for_those_that_compile(runtime: FakeRuntime, tmp_path: Path) -> None:
    rules = DeviceRules(cache_folder=tmp_path / "compiled")
    _open(CUDA_PROVIDER, rules)
    assert not (tmp_path / "compiled").exists()
    runtime.placements = {TENSORRT_PROVIDER: {"MatMul": 9}}
    _open(TENSORRT_PROVIDER, rules)
    assert (tmp_path / "compiled").is_dir()


@pytest.mark.parametrize("saturates", [False, True])
def test_weights_become_uint8_where_products_saturate_and_nowhere_else(
    runtime: FakeRuntime, saturates: bool
) -> None:
    runtime.saturates = saturates
    _open()
    assert ("session.x64quantprecision" in runtime.options[0]) == saturates


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> TinyArtifact:
    return build_artifact(tmp_path_factory.mktemp("text"), "text")


@pytest.mark.parametrize("provider", [CUDA_PROVIDER, TENSORRT_PROVIDER])
def test_a_tower_computes_the_same_on_a_gpu(text: TinyArtifact, provider: str) -> None:
    if provider not in available_providers():
        pytest.skip(f"this machine's ONNX Runtime has no {provider}")
    try:
        encoder = Encoder(text.folder, text.manifest, provider=provider)
    except CpuFallback:
        pytest.skip(f"this machine has no working {provider}")
    rows = encoder.embed_texts(["port", "red forest"])
    assert rows == pytest.approx(
        Encoder(text.folder, text.manifest).embed_texts(["port", "red forest"]), abs=1e-2
    )


def test_with_the_real_runtime_what_it_lacks_is_a_fallback_or_the_cpu_by_leave(
    text: TinyArtifact,
) -> None:
    if CUDA_PROVIDER in available_providers():
        pytest.skip("this machine's ONNX Runtime is built for CUDA")
    with pytest.raises(CpuFallback):
        Encoder(text.folder, text.manifest, provider=CUDA_PROVIDER)
    encoder = Encoder(text.folder, text.manifest, provider=CUDA_PROVIDER, rules=LEAVE)
    assert encoder.provider == CPU
    assert encoder.notice is not None
    assert encoder.embed_texts(["port"]).shape == (1, 16)
