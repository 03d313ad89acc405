from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_artifacts import profile

from rsq.trusted_reports import MIN_NODES, NODE_FACTOR, believe, collect_votes

VALUES = st.floats(1, 1e6)


def test_a_source_votes_once_however_often_it_reports() -> None:
    reports = [("node:a", 10.0), ("node:b", 20.0), ("node:b", 22.0), ("node:b", 1000.0)]
    profiles = [replace(profile("x", peak_bytes=1, p50_ms=ms), source=s) for s, ms in reports]
    assert collect_votes(profiles, lambda one: one.p50_ms) == {8: {"node:a": 10.0, "node:b": 22.0}}


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_what_cannot_be_measured_is_no_vote(value: float) -> None:
    one = replace(profile("x", peak_bytes=1), source="node:a")
    assert collect_votes([one], lambda _: value) == {}


def test_too_few_nodes_are_not_believed_without_the_publisher() -> None:
    votes = {f"node:{i}": 10.0 for i in range(MIN_NODES - 1)}
    assert believe(votes) is None
    assert believe({**votes, "node:last": 10.0}) is not None


@given(st.lists(VALUES, min_size=MIN_NODES - 1, max_size=9), st.floats(0.001, 1e12))
def test_one_liar_stays_within_what_honest_nodes_say(honest: list[float], lie: float) -> None:
    votes = {f"node:{i}": value for i, value in enumerate(honest)}
    found = believe({**votes, "node:liar": lie})
    assert found is not None
    assert min(honest) <= found.value <= max(honest)


@given(VALUES, st.lists(st.floats(0.001, 1e12), max_size=9))
def test_nodes_never_move_the_publisher_beyond_the_factor(
    publisher: float, nodes: list[float]
) -> None:
    votes = {f"node:{i}": value for i, value in enumerate(nodes)}
    found = believe({**votes, "publisher": publisher})
    assert found is not None
    assert publisher / NODE_FACTOR <= found.value <= publisher * NODE_FACTOR
    if len(nodes) < 2:
        assert found.value == publisher  # it takes more than one node to outweigh it
