"""`rsq-agent watch`."""

from __future__ import annotations

from typing import Annotated

import typer

from rsq.connection_options import agent_endpoint, server_endpoint
from rsq.stop_signals import stop_on_signals
from rsq_agent.cli.options import AgentAddress, AllowCpu, Server, build_config
from rsq_agent.config import DEFAULT_LISTEN, DEFAULT_SERVER

EPILOG = """Examples:

rsq-agent watch git-rsclip-base

rsq-agent watch git-rsclip-base@staging --every 5m"""

Every = Annotated[
    str, typer.Option("--every", help="Time between two looks: 60s, 5m, 1h.", metavar="TIME")
]


def watch(
    reference: Annotated[str, typer.Argument(metavar="NAME", help="NAME or NAME@alias.")],
    every: Every = "60s",
    server: Server = DEFAULT_SERVER,
    agent: AgentAddress = DEFAULT_LISTEN,
    allow_cpu: AllowCpu = False,
) -> None:
    """Follow an alias: pull and activate what it names, as the active version was pulled."""
    from rsq.logs import LogFormat, LogLevel, configure_logs
    from rsq.units import parse_seconds
    from rsq_agent.cache import Cache
    from rsq_agent.pulling.watch import follow, parse_watched
    from rsq_agent.state import load_state

    watched = parse_watched(reference)
    config = build_config(
        server=server_endpoint(server),
        agent=agent_endpoint(agent),
        watch_seconds=parse_seconds(every),
        allow_cpu=allow_cpu,
    )
    cache = Cache(config.home)
    load_state(cache).activation(watched.name)  # says what to run where nothing was pulled
    configure_logs(LogFormat.TEXT, LogLevel.INFO)
    stop = stop_on_signals()
    follow(watched, cache, config, agent=config.agent, stop=stop)
