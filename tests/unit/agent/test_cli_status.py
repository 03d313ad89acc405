from __future__ import annotations

import io

from rich.console import Console

from rsq.errors import Unreachable
from rsq.wire.agent import (
    AgentStatus,
    ModelStatus,
    TowerStatus,
    agent_status_from_pb,
    agent_status_to_pb,
)
from rsq_agent.cli.status import render_status, watch_status

TOWER = TowerStatus(
    "vision", "ab" * 32, "int8-static", "CPUExecutionProvider", 2, 4, 32, 3, 123_456, 12, 41.2,
    88.1, 6.7, 200.0,
)  # fmt: skip
STATUS = AgentStatus(
    "0123456789abcdef", "0.1.0", "SERVING", "base[red]", 3, ("ab" * 32,), 62.0,
    (ModelStatus("base[red]", 3, 2, "LOADED", 0.4, 2 * 10**9, (TOWER,)),
     ModelStatus("other", 1, 0, "UNLOADED", 0.0, 0, ())),
    "cpu", 812_000_000, 0,
)  # fmt: skip


def _console() -> Console:
    return Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)


def _text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_eighty_columns_show_every_figure_whole() -> None:
    console = _console()
    console.print(render_status(STATUS))
    text = _text(console)
    for shown in (
        "base[red]:3", "812 MB", "rollback to version 2", "budget 2 GB", "int8-static", "CPU",
        "2x4", "6.7/32", "41.2", "88.1", "123456", "12", "other:1: UNLOADED",
        "latency target: vision 200 ms",
    ):  # fmt: skip
        assert shown in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80


def test_watching_waits_for_an_agent_that_is_away_and_ends_cleanly() -> None:
    console = _console()
    answers = iter([Unreachable("Nothing answers at a:1."), STATUS])
    pauses: list[float] = []

    def read(agent: str) -> AgentStatus:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise KeyboardInterrupt

    watch_status("a:1", read, console=console, pause=pause)
    text = _text(console)
    assert "Nothing answers at a:1. Waiting" in text
    assert text.index("Waiting") < text.index("SERVING")


def test_a_status_survives_the_wire() -> None:
    assert agent_status_from_pb(agent_status_to_pb(STATUS)) == STATUS
