"""An agent is killed while it indexes, builds a graph and migrates; bench_index_kills goes on to a
hundred kills."""

from __future__ import annotations

from pathlib import Path

from bench_index_kills import KINDS, run


def test_no_kill_loses_doubles_or_changes_a_vector(tmp_path: Path) -> None:
    found = run(tmp_path, kills=2 * len(KINDS))
    for kind in KINDS:
        assert found[kind]["checks"] >= 2
        assert not any(found[kind]["faults"].values()), found[kind]
    assert found["indexing"]["acknowledged"] > 0
    assert found["optimizing"]["stored"] > 10_000
    assert found["migrating"]["cut_overs"] >= 1
