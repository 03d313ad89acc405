"""`rsq-agent rollback`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from rsq.connection_options import agent_endpoint
from rsq_agent.cli.options import AgentAddress, AllowCpu, Json, build_config
from rsq_agent.config import DEFAULT_LISTEN

if TYPE_CHECKING:
    from rsq_agent.config import AgentConfig

EPILOG = """Examples:

rsq-agent rollback

rsq-agent rollback git-rsclip-base --json"""


def rollback(
    model: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Default: the model that serves.")
    ] = None,
    agent: AgentAddress = DEFAULT_LISTEN,
    allow_cpu: AllowCpu = False,
    as_json: Json = False,
) -> None:
    """Go back to the version that was active before; a second time goes forward again."""
    from rsq.rpc.agent import find_agent, roll_back

    config = build_config(allow_cpu=allow_cpu)
    endpoint = agent_endpoint(agent)
    running = find_agent(endpoint) is not None
    name, version = roll_back(endpoint, model) if running else _roll_back_here(config, model)
    if as_json:
        print(json.dumps({"model": name, "version": version}, indent=2))
    elif running:
        print(f"The agent at {agent} serves {name}:{version} again.")
    else:
        print(f"{name}:{version} is active again; no agent runs at {agent}.")


def _roll_back_here(config: AgentConfig, model: str | None) -> tuple[str, int]:
    from filelock import FileLock

    from rsq.profiling import measure
    from rsq.provider_options import DeviceRules
    from rsq_agent.cache import Cache
    from rsq_agent.state import load_state, save_state

    cache = Cache(config.home)
    # 1. Is there anything to go back to?
    previous = load_state(cache).to_roll_back(model)
    with FileLock(cache.home / "pull.lock"):
        # 2. Prove it again on this node, in a process of its own.
        for artifact_id, provider in zip(previous.artifacts, previous.providers, strict=True):
            cache.verify_artifact(artifact_id)
            measure(
                cache.artifact_folder(artifact_id),
                cache.manifest_path(artifact_id),
                batch=1,
                provider=provider,
                threads=config.threads,
                seconds=0.0,
                rules=DeviceRules(allow_cpu=config.allow_cpu),
            )
        # 3. Remember.
        save_state(cache, load_state(cache).roll_back(previous.model))
    return previous.model, previous.version
