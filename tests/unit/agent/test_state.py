from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rsq.errors import EnvironmentFault, NotFound
from rsq.providers import CPU_PROVIDER
from rsq_agent.cache import Cache
from rsq_agent.state import Activation, NodeState, Wishes, load_state, node_id, save_state

FIRST = Activation("demo", 1, ("a" * 64,), (CPU_PROVIDER,), 8, 10**9)
SECOND = replace(FIRST, version=2, artifacts=("b" * 64,), budget_bytes=None)


def test_the_state_survives_and_keeps_what_served_before(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert load_state(cache) == NodeState()
    measured = replace(
        SECOND, peak_bytes=10**8, load_seconds=1.5, wishes=Wishes("latency", 0.9, None, 1, 2, 0)
    )
    state = NodeState().activate(FIRST).activate(measured).activate(SECOND)
    save_state(cache, state)
    assert load_state(cache) == state
    save_state(cache, state.roll_back("demo"))
    assert load_state(cache).models["demo"].abandoned_version == SECOND.version
    assert state.models["demo"].previous == FIRST
    assert state.activation(None) == state.activation("demo") == SECOND


def test_what_an_older_release_wrote_is_read(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    active = {
        "model": "demo",
        "version": 1,
        "artifacts": ["a" * 64],
        "providers": [CPU_PROVIDER],
        "max_batch": 8,
        "budget_bytes": 10**9,
    }
    models = {"demo": {"active": active, "previous": None}}
    cache.state_path.write_text(json.dumps({"schema": 1, "current": "demo", "models": models}))
    assert load_state(cache) == NodeState().activate(FIRST)


def test_a_rollback_goes_back_and_a_second_one_forward_again() -> None:
    state = NodeState().activate(FIRST).activate(SECOND)
    back = state.roll_back(None)
    assert (back.activation("demo"), back.models["demo"].previous) == (FIRST, SECOND)
    assert back.models["demo"].abandoned_version == SECOND.version
    assert back.roll_back("demo").activation("demo") == SECOND


def test_a_rollback_of_another_model_leaves_the_current_one() -> None:
    other = replace(FIRST, model="other")
    state = NodeState().activate(FIRST).activate(SECOND).activate(other).roll_back("demo")
    assert state.current == "other"
    assert state.activation("demo") == FIRST


def test_with_nothing_to_go_back_to_the_error_says_what_is_active() -> None:
    with pytest.raises(NotFound, match="nothing to go back to: demo:1 is the first"):
        NodeState().activate(FIRST).roll_back("demo")
    with pytest.raises(NotFound, match="rsq-agent pull ships"):
        NodeState().activate(FIRST).roll_back("ships")


def test_an_abandoned_version_is_forgotten_once_another_is_activated() -> None:
    back = NodeState().activate(FIRST).activate(SECOND).roll_back(None)
    assert back.activate(replace(FIRST, max_batch=4)).models["demo"].abandoned_version == 2
    assert back.activate(SECOND).models["demo"].abandoned_version is None


def test_activating_the_same_artifacts_again_keeps_the_way_back() -> None:
    state = NodeState().activate(FIRST).activate(SECOND).activate(replace(SECOND, max_batch=4))
    assert state.models["demo"].previous == FIRST


def test_several_models_are_remembered_and_the_last_is_current() -> None:
    other = replace(FIRST, model="other")
    state = NodeState().activate(FIRST).activate(other)
    assert state.activation(None) == other
    assert state.activation("demo") == FIRST


def test_nothing_active_says_what_to_run() -> None:
    with pytest.raises(NotFound, match="rsq-agent pull"):
        NodeState().activation(None)
    with pytest.raises(NotFound, match="pull ships"):
        NodeState().activate(FIRST).activation("ships")


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b"{}",
        json.dumps({"schema": 1, "current": None, "models": {"x": {}}}).encode(),
        json.dumps(
            {
                "schema": 1,
                "current": "x",
                "models": {"x": {"previous": None, "active": {"artifacts": ["../x"]}}},
            }
        ).encode(),
        json.dumps({"schema": 3, "current": None, "models": {}}).encode(),
    ],
)
def test_a_damaged_or_newer_file_is_one_clear_error(tmp_path: Path, data: bytes) -> None:
    cache = Cache(tmp_path)
    cache.state_path.write_bytes(data)
    with pytest.raises(EnvironmentFault, match=r"active\.json"):
        load_state(cache)


def test_the_node_id_is_made_once_and_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "new")
    assert node_id(cache) == node_id(cache)
    assert node_id(Cache(tmp_path / "other")) != node_id(cache)
    cache.node_path.write_bytes(b"")
    with pytest.raises(EnvironmentFault):
        node_id(cache)
