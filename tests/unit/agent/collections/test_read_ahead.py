from __future__ import annotations

import threading
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
    module._read(tmp_path)
    assert _read_bytes() - before >= 500


def test_reading_is_done_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readers: list[int] = []
    monkeypatch.setattr(module, "_read", lambda folder: readers.append(threading.get_ident()))
    thread = read_ahead(tmp_path)
    thread.join(10)
    assert readers == [thread.ident]
    assert thread.ident != threading.get_ident()


def test_a_shard_beyond_the_free_memory_is_left_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SHARE", 0.0)
    (tmp_path / "a").write_bytes(bytes(1 << 20))
    before = _read_bytes()
    module._read(tmp_path)
    assert _read_bytes() - before < 1 << 20


def _read_bytes() -> int:
    """What this thread has read through system calls; others of the process may read meanwhile."""
    lines = Path("/proc/thread-self/io").read_text().splitlines()
    fields = dict(line.split(": ") for line in lines)
    return int(fields["rchar"])
