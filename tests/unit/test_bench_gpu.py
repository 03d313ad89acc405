from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rsq.providers import GPU_PROVIDERS
from rsq_agent.node.device import find_device

BENCH = Path(__file__).parents[2] / "bench" / "bench_gpu.py"


def test_without_a_gpu_the_bench_says_so_and_ends_well() -> None:
    if set(find_device().providers) & GPU_PROVIDERS:
        pytest.skip("this machine has a GPU, and the bench would measure it")
    # Isolated, as where rsq is not installed.
    done = subprocess.run(
        [sys.executable, str(BENCH)], capture_output=True, text=True, check=False, env={}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("No CUDA GPU")
    assert len(done.stdout.splitlines()) == 1
