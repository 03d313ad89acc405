from __future__ import annotations

import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_artifacts import build_artifact
from tiny_node import stock

from rsq.errors import EnvironmentFault, Interrupted, ProbeFailed
from rsq_agent.cache import Cache
from rsq_agent.config import AgentConfig
from rsq_agent.pulling.pull_process import pull_arguments, run_pull
from rsq_agent.state import Wishes


def _run(program: str, stop: threading.Event | None = None) -> None:
    run_pull(["pull"], stop or threading.Event(), command=(sys.executable, "-c", program))


def test_the_next_version_is_pulled_as_the_active_one_was(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "agent")
    config = AgentConfig(home=cache.home, threads=1, server="127.0.0.1:7")
    text = build_artifact(tmp_path / "text", "text")
    active = stock(cache, [text], budget_bytes=600_000_000)
    active = replace(active, wishes=Wishes("latency", 0.95, "int8", 4_000, 5_000, 0))
    arguments = pull_arguments(cache, active, 4, config, agent="127.0.0.1:8")
    assert " ".join(arguments) == (
        "pull tiny:4 --json --max-batch 8 --server 127.0.0.1:7 --agent 127.0.0.1:8 --tower text "
        "--vram 600000000 --vram-vision 4000 --vram-text 5000 --reserve 0 --objective latency "
        "--min-accuracy 0.95 --pin int8"
    )
    both = stock(cache, [text, build_artifact(tmp_path / "vision", "vision")])
    plain = " ".join(pull_arguments(cache, both, 4, config, agent="127.0.0.1:8"))
    assert plain.endswith("--agent 127.0.0.1:8")


def test_a_pull_that_works_says_nothing() -> None:
    _run("print('{}')")


def test_what_the_pull_reports_is_raised_here() -> None:
    error = '{"error": {"code": "PROBE_FAILED", "message": "It is wrong here."}}'
    with pytest.raises(ProbeFailed, match="It is wrong here"):
        _run(f"print('{error}'); raise SystemExit(11)")


@pytest.mark.parametrize("output", ["", "oops", "[]", '{"error": 1}'])
def test_a_pull_that_dies_without_a_word_is_a_fault_here(output: str) -> None:
    with pytest.raises(EnvironmentFault, match="exit status 9"):
        _run(f"print('{output}'); raise SystemExit(9)")


def test_a_pull_is_stopped_with_the_agent(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        _run("import time; time.sleep(600)", stop)
