from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rsq.errors import CpuFallback, InternalError
from rsq.onnx_session import TowerSession, available_providers
from rsq.providers import CPU_PROVIDER, CUDA_PROVIDER
from rsq_agent.node.provider_trial import GRAPH, try_provider


def test_the_graph_is_the_one_that_this_makes() -> None:
    sides = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4])
        for name in ("pixel_values", "embedding")
    ]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["pixel_values", "w"], ["embedding"])],
        "trial",
        sides[:1],
        sides[1:],
        [numpy_helper.from_array(2 * np.eye(4, dtype=np.float32), "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    assert onnx.load_from_string(GRAPH) == made


def test_the_cpu_computes_it() -> None:
    try_provider(CPU_PROVIDER)


def test_what_computes_wrong_or_on_the_cpu_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    if CUDA_PROVIDER not in available_providers():
        with pytest.raises(CpuFallback):
            try_provider(CUDA_PROVIDER)
    monkeypatch.setattr(TowerSession, "embed", lambda self, rows: np.ones_like(rows) / 2)
    with pytest.raises(InternalError, match="wrong results"):
        try_provider(CPU_PROVIDER)


def test_the_process_says_what_is_wrong_in_one_sentence() -> None:
    command = [sys.executable, "-m", "rsq_agent.node.provider_trial"]
    good = subprocess.run([*command, CPU_PROVIDER], capture_output=True, text=True, check=False)
    assert (good.returncode, good.stdout) == (0, "")
    bad = subprocess.run([*command, "NoProvider"], capture_output=True, text=True, check=False)
    assert bad.returncode == 1
    assert len(bad.stdout.splitlines()) == 1
