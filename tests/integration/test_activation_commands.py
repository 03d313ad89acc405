"""`rsq-agent rollback` and `rsq-agent watch` as a user runs them, on a node with tiny artifacts."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fake_registry import FakeRegistry, serve_registry
from tiny_artifacts import TinyArtifact, build_artifact, build_version
from tiny_node import stock

from rsq.cli import run_cli
from rsq.providers import CPU_PROVIDER
from rsq.reference import parse_reference
from rsq_agent.app import Agent
from rsq_agent.cache import Cache
from rsq_agent.cli.main import app
from rsq_agent.config import AgentConfig
from rsq_agent.pulling.watch import follow
from rsq_agent.state import NodeState, Wishes, load_state, save_state

NOBODY = "127.0.0.1:1"


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[int, TinyArtifact]:
    """The text tower of three versions; the third fails its probe."""
    folder = tmp_path_factory.mktemp("artifacts")
    return {
        number: build_artifact(folder / str(number), "text", seed=number, broken_probe=number == 3)
        for number in (1, 2, 3)
    }


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("RSQ_HOME", str(tmp_path))
    return Cache(tmp_path / "agent")


def _run(*arguments: str) -> int:
    return run_cli(lambda: app(list(arguments), standalone_mode=False), json_errors=True)


def test_a_rollback_without_an_agent_is_proved_and_remembered(
    cache: Cache, artifacts: dict[int, TinyArtifact], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (stock(cache, [artifacts[n]], version=n) for n in (1, 2))
    save_state(cache, NodeState().activate(first).activate(second))
    assert _run("rollback", "--json", "--agent", NOBODY) == 0
    assert json.loads(capsys.readouterr().out) == {"model": "tiny", "version": 1}
    assert load_state(cache) == NodeState().activate(first).activate(second).roll_back(None)


def test_a_rollback_to_what_fails_here_changes_nothing(
    cache: Cache, artifacts: dict[int, TinyArtifact], capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = (stock(cache, [artifacts[n]], version=n) for n in (3, 2))
    state = NodeState().activate(bad).activate(good)
    save_state(cache, state)
    assert _run("rollback", "--agent", NOBODY) == 11
    assert "golden probe" in capsys.readouterr().out
    assert load_state(cache) == state


def test_a_rollback_goes_through_the_agent_that_runs(
    cache: Cache, artifacts: dict[int, TinyArtifact], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (stock(cache, [artifacts[n]], version=n) for n in (1, 2))
    save_state(cache, NodeState().activate(first).activate(second))
    config = AgentConfig(home=cache.home, threads=1, server=NOBODY, listen="127.0.0.1:0")
    with Agent(config) as agent:
        agent.load(None)
        assert _run("rollback", "tiny", "--agent", agent.address) == 0
        assert f"The agent at {agent.address} serves tiny:1 again." in capsys.readouterr().out
        assert agent.activator.active == first


def test_with_nothing_to_go_back_to_the_exit_code_is_3(
    cache: Cache, artifacts: dict[int, TinyArtifact], capsys: pytest.CaptureFixture[str]
) -> None:
    save_state(cache, NodeState().activate(stock(cache, [artifacts[1]])))
    assert _run("rollback", "--agent", NOBODY) == 3
    assert "nothing to go back to" in json.loads(capsys.readouterr().out)["error"]["message"]


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


def test_a_watched_alias_is_followed_as_the_active_version_was_pulled(
    cache: Cache, artifacts: dict[int, TinyArtifact], registry: FakeRegistry
) -> None:
    """The agent and its watch share a process; pulls run in one of their own."""
    wishes = Wishes("memory", text_budget_bytes=1_500_000_000, reserve_bytes=0)
    first = replace(stock(cache, [artifacts[1]]), budget_bytes=2_000_000_000, wishes=wishes)
    save_state(cache, NodeState().activate(first))

    def name(number: int, *references: str) -> None:
        version = build_version([artifacts[number].row()], number=number)
        registry.add(version, [artifacts[number]])
        for reference in references:
            registry.versions[reference] = version

    name(2, "tiny@staging", "tiny:2")
    with serve_registry(registry) as server:
        config = AgentConfig(
            home=cache.home,
            threads=1,
            server=server,
            listen="127.0.0.1:0",
            watch_seconds=0.05,
        )
        with Agent(config) as agent:
            agent.load(None)
            agent.watch(parse_reference("tiny@staging"))
            _await(lambda: load_state(cache).activation("tiny").version == 2)
            active = load_state(cache).activation("tiny")
            assert agent.activator.active == active
            assert (active.budget_bytes, active.providers) == (2_000_000_000, (CPU_PROVIDER,))
            assert active.wishes == wishes
            assert active.peak_bytes is not None
            assert load_state(cache).models["tiny"].previous == first


def test_a_version_that_fails_its_probe_here_is_pulled_once_and_left_alone(
    cache: Cache,
    artifacts: dict[int, TinyArtifact],
    registry: FakeRegistry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    save_state(cache, NodeState().activate(stock(cache, [artifacts[1]])))
    version = build_version([artifacts[3].row()], number=3)
    registry.add(version, [artifacts[3]])
    registry.versions["tiny:3"] = version
    stop = threading.Event()
    with serve_registry(registry) as server:
        config = AgentConfig(home=cache.home, threads=1, server=server, watch_seconds=0.05)
        thread = threading.Thread(
            target=follow,
            args=(parse_reference("tiny"), cache, config),
            kwargs={"agent": NOBODY, "stop": stop},
            daemon=True,
        )
        thread.start()
        _await(lambda: "tiny:3 is left alone" in caplog.text)
        assert not stop.wait(0.3)  # several more looks
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    assert caplog.text.count("is left alone") == 1
    assert load_state(cache).activation("tiny").version == 1


def _await(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        threading.Event().wait(0.05)
    pytest.fail("It never came to that.")
