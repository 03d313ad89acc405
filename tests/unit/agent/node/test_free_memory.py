from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from rsq_agent.node import free_memory
from rsq_agent.node.free_memory import free_bytes, return_memory


def _write(folder: Path, *, limit: str, used: int, cached: int) -> None:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\n")


def test_a_containers_limit_counts_where_it_is_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(free_memory, "CGROUP", tmp_path)
    _write(tmp_path, limit="1000", used=700, cached=100)
    assert free_bytes(on_gpu=False) == 400  # what is only cached is given back
    _write(tmp_path, limit="1000", used=1200, cached=0)
    assert free_bytes(on_gpu=False) == 0


@pytest.mark.parametrize("limit", ["max", None])
def test_without_a_limit_the_machine_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str | None
) -> None:
    monkeypatch.setattr(free_memory, "CGROUP", tmp_path)
    if limit is not None:
        _write(tmp_path, limit=limit, used=1, cached=1)
    found = free_bytes(on_gpu=False)
    assert found is not None
    assert 0 < found <= psutil.virtual_memory().total


def test_a_gpu_that_cannot_be_asked_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert free_bytes(on_gpu=True) is None


def test_freed_memory_goes_back_to_the_system() -> None:
    # Below glibc's threshold for mappings of their own, and the last one holds the heap's end.
    blocks = [b"x" * (60_000 + number % 7) for number in range(3000)]
    del blocks[:-1]
    kept = psutil.Process().memory_info().rss
    return_memory()
    assert kept - psutil.Process().memory_info().rss > 100_000_000
