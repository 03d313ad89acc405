"""`rsq-agent pull` in a process of its own, so that a serving process keeps its memory."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence

from rsq.connection_options import agent_arguments, server_arguments
from rsq.error_catalog import outcome_for_code
from rsq.errors import EnvironmentFault, Interrupted, RsqError
from rsq.rpc.endpoint import Target
from rsq_agent.cache import Cache
from rsq_agent.config import AgentConfig
from rsq_agent.state import Activation

COMMAND = (sys.executable, "-c", "from rsq_agent.cli.main import main; main()")
POLL_SECONDS = 0.5
END_SECONDS = 10.0  # for the process to end when it is told to


def pull_arguments(
    cache: Cache, like: Activation, version: int, config: AgentConfig, *, agent: Target
) -> list[str]:
    """The command line that pulls `version` as `like` was pulled. Tokens go by
    the names of their files."""
    arguments = ["pull", f"{like.model}:{version}", "--json", "--max-batch", str(like.max_batch)]
    arguments += server_arguments(config.server) + agent_arguments(agent)
    towers = {cache.manifest(artifact_id).tower for artifact_id in like.artifacts}
    if len(towers) == 1:
        arguments += ["--tower", *towers]
    if config.allow_cpu:
        arguments += ["--allow-cpu"]
    if like.budget_bytes is not None:
        arguments += ["--vram", str(like.budget_bytes)]
    wishes = like.wishes
    wanted = {
        "--vram-vision": wishes.vision_budget_bytes,
        "--vram-text": wishes.text_budget_bytes,
        "--reserve": wishes.reserve_bytes,
        "--objective": wishes.objective,
        "--min-accuracy": wishes.min_accuracy,
        "--pin": wishes.pin,
    }
    for option, value in wanted.items():
        if value is not None:
            arguments += [option, str(value)]
    return arguments


def run_pull(
    arguments: Sequence[str], stop: threading.Event, *, command: Sequence[str] = COMMAND
) -> None:
    """Runs it to its end. Raises the error that it reports, Interrupted when `stop` is set, and
    EnvironmentFault when it dies without a word."""
    with subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            output = _await_end(process, stop)
        finally:
            if process.poll() is None:
                process.kill()
    if process.returncode != 0:
        raise _reported_error(output, process.returncode)


def _await_end(process: subprocess.Popen[str], stop: threading.Event) -> str:
    while True:
        try:
            return process.communicate(timeout=POLL_SECONDS)[0]
        except subprocess.TimeoutExpired:
            if not stop.is_set():
                continue
        process.terminate()
        try:
            process.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        raise Interrupted("The pull was stopped.")


def _reported_error(output: str, exit_code: int) -> RsqError:
    try:
        error = json.loads(output)["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return EnvironmentFault(f"The process that pulls died (exit status {exit_code}).")
    outcome = outcome_for_code(code)
    return outcome.error(message) if outcome is not None else EnvironmentFault(message)
