"""A node in every kind of trouble once; bench_soak goes on for an hour."""

from __future__ import annotations

from pathlib import Path

from bench_soak import TROUBLES, run


def test_no_trouble_makes_an_answer_wrong_or_missing(tmp_path: Path) -> None:
    found = run(tmp_path, seconds=0, cycles=len(TROUBLES))
    assert found["failures"] == []
    assert (found["failed"], found["wrong"]) == (0, 0)
    assert set(found["troubles"]) == set(TROUBLES)
    assert found["embeddings"] > 100
    assert found["searches"] > 10
