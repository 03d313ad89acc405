from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

import pytest
from fake_models import fake_activation

from rsq.errors import BadInput, NothingFits, ProbeFailed, RsqError, Unreachable
from rsq.reference import Reference, parse_reference
from rsq_agent.pulling.watch import LONGEST_WAIT_SECONDS, Watch, parse_watched
from rsq_agent.state import Activation, NodeState

SECONDS = 60.0


@dataclass
class World:
    """A server with an alias and a node that can pull; tests change both."""

    version: int = 1
    away: RsqError | None = None
    failures: dict[int, RsqError] = field(default_factory=dict)
    state: NodeState = field(default_factory=lambda: NodeState().activate(fake_activation()))
    pulls: list[int] = field(default_factory=list)

    def find_version(self, reference: Reference) -> int:
        assert str(reference) == "demo@staging"
        if self.away is not None:
            raise self.away
        return self.version

    def pull(self, like: Activation, version: int) -> None:
        self.pulls.append(version)
        if version in self.failures:
            raise self.failures[version]
        artifacts = (str(version) * 64,)
        self.state = self.state.activate(fake_activation(version=version, artifacts=artifacts))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def watch(world: World) -> Watch:
    return Watch(
        parse_watched("demo@staging"),
        seconds=SECONDS,
        find_version=world.find_version,
        read_state=lambda: world.state,
        pull=world.pull,
    )


def test_a_fixed_version_is_nothing_to_watch() -> None:
    assert parse_watched("demo") == parse_reference("demo")
    with pytest.raises(BadInput, match="demo:3 never changes"):
        parse_watched("demo:3")


def test_a_new_version_is_pulled_once_and_an_older_one_when_the_alias_goes_back(
    world: World, watch: Watch
) -> None:
    for version in (1, 2, 2, 1, 1):
        world.version = version
        assert watch.look() == SECONDS
    assert world.pulls == [2, 1]


def test_a_version_that_failed_its_probe_is_left_alone_until_the_alias_moves(
    world: World, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    world.version = 2
    world.failures[2] = ProbeFailed("It is wrong here.")
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert watch.look() == SECONDS
    assert world.pulls == [2]
    assert [record.getMessage() for record in caplog.records] == [
        "demo@staging names version 2; pulling it",
        "demo:2 is left alone: It is wrong here. Version 1 serves on.",
    ]
    world.version = 3
    watch.look()
    world.version = 2
    watch.look()
    assert world.pulls == [2, 3, 2]


def test_a_version_that_was_rolled_back_from_is_left_alone(world: World, watch: Watch) -> None:
    world.version = 2
    watch.look()
    world.state = world.state.roll_back("demo")
    watch.look()
    assert world.pulls == [2]
    world.version = 3
    watch.look()
    assert world.pulls == [2, 3]


def test_waits_grow_while_the_server_is_away_and_one_line_tells_of_each(
    world: World, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    world.away = Unreachable("Nothing answers.")
    with caplog.at_level(logging.INFO):
        waits = [watch.look() for _ in range(40)]
        assert waits[:3] == [SECONDS, 2 * SECONDS, 4 * SECONDS]
        assert waits[-1] == LONGEST_WAIT_SECONDS
        world.away = None
        assert watch.look() == SECONDS
    assert len(caplog.records) == 41
    assert "Nothing answers. Trying again in 1 min 00 s." in caplog.records[0].getMessage()


def test_a_pull_that_failed_for_now_is_tried_again(world: World, watch: Watch) -> None:
    world.version = 2
    world.failures[2] = NothingFits("There is too little memory.")
    assert [watch.look(), watch.look()] == [SECONDS, 2 * SECONDS]
    del world.failures[2]
    assert watch.look() == SECONDS
    assert world.pulls == [2, 2, 2]
    assert world.state.activation("demo").version == 2


def test_a_watch_ends_when_it_is_told_to(watch: Watch) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=watch.run, args=(stop,))
    thread.start()
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
