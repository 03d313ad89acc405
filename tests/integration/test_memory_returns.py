"""Loading and letting go again and again leaves no memory behind, on the host and on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_artifacts import TinyArtifact, build_artifact

from rsq.encoder import Encoder
from rsq.errors import RsqError
from rsq.memory_meter import DeviceMemory, resident_bytes
from rsq.onnx_session import available_providers
from rsq.providers import CPU_PROVIDER, CUDA_PROVIDER
from rsq_agent.node.free_memory import return_memory

HIDDEN = 1500
WEIGHT_BYTES = 4 * HIDDEN * HIDDEN
WARM_UPS, CYCLES = 3, 12


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> TinyArtifact:
    return build_artifact(tmp_path_factory.mktemp("tower"), "vision", hidden=HIDDEN)


def _growth(tower: TinyArtifact, provider: str, held: Callable[[], int]) -> tuple[int, int]:
    """Bytes after the last cycle over those after the first, and those that one tower held."""
    row = np.ones((8, 3, 8, 8), np.float32)
    after, while_loaded = [], 0
    for _ in range(WARM_UPS + CYCLES):
        encoder = Encoder(tower.folder, tower.manifest, provider=provider, threads=2)
        encoder.embed_prepared(row)
        while_loaded = held()
        del encoder
        return_memory()
        after.append(held())
    return after[-1] - after[WARM_UPS - 1], while_loaded - after[-1]


def test_a_tower_that_is_let_go_gives_the_host_its_memory_back(tower: TinyArtifact) -> None:
    grown, one = _growth(tower, CPU_PROVIDER, resident_bytes)
    assert one > 0.8 * WEIGHT_BYTES  # else nothing was loaded that could have stayed
    assert grown < 0.5 * WEIGHT_BYTES  # of all cycles together


def test_a_tower_that_is_let_go_gives_the_gpu_its_memory_back(tower: TinyArtifact) -> None:
    if CUDA_PROVIDER not in available_providers():
        pytest.skip("this machine's ONNX Runtime is not built for CUDA")
    try:
        Encoder(tower.folder, tower.manifest, provider=CUDA_PROVIDER)
        meter = DeviceMemory()
    except RsqError as e:
        pytest.skip(f"this machine has no CUDA device that works: {e.message}")
    with meter:
        grown, one = _growth(tower, CUDA_PROVIDER, lambda: meter.read()[1])
    assert one > 0.8 * WEIGHT_BYTES
    assert grown < 0.5 * WEIGHT_BYTES


def test_files_of_the_tower_are_not_kept_open(tower: TinyArtifact) -> None:
    row = np.ones((1, 3, 8, 8), np.float32)
    Encoder(tower.folder, tower.manifest).embed_prepared(row)
    mapped = Path("/proc/self/maps").read_text()
    assert str(tower.folder) not in mapped
