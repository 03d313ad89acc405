from __future__ import annotations

from pathlib import Path

import pytest

from rsq_agent.collections import read_ahead as module
from rsq_agent.collections.read_ahead import read_ahead


def test_every_file_is_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_READ_BYTES", 100)
    (tmp_path / "deep").mkdir()
    for name in ("a", "deep/b"):
        (tmp_path / name).write_bytes(bytes(250))
    (tmp_path / "pipe").symlink_to(tmp_path / "nowhere")  # can't be read, and hinders nothing
    before = _read_bytes()
    read_ahead(tmp_path).join(10)
    assert _read_bytes() - before >= 500


def test_a_shard_beyond_the_free_memory_is_left_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SHARE", 0.0)
    (tmp_path / "a").write_bytes(bytes(1 << 20))
    before = _read_bytes()
    read_ahead(tmp_path).join(10)
    assert _read_bytes() - before < 1 << 20


def _read_bytes() -> int:
    """What this process has read through system calls."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])
