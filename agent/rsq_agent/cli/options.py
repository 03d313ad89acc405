"""Options that several commands share. The environment is read here and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from rsq_agent.config import DEFAULT_LISTEN, DEFAULT_SERVER, AgentConfig

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Server = Annotated[
    str, typer.Option("--server", help="The registry server, HOST:PORT.", metavar="HOST:PORT")
]
AgentAddress = Annotated[
    str, typer.Option("--agent", help="The running agent, HOST:PORT.", metavar="HOST:PORT")
]
Collection = Annotated[str, typer.Option("--collection", help="Name of the collection.")]


def home_folder() -> Path:
    """RSQ_HOME/agent, or the platform's data folder."""
    home = os.environ.get("RSQ_HOME")
    if home:
        return Path(home).expanduser() / "agent"
    from platformdirs import user_data_path

    return user_data_path("rsq") / "agent"


def build_config(
    *,
    server: str = DEFAULT_SERVER,
    listen: str = DEFAULT_LISTEN,
    threads: int = 0,
    insecure: bool = False,
    mirror: bool = False,
) -> AgentConfig:
    """`threads` 0 means the cores this process may use."""
    return AgentConfig(
        home=home_folder(),
        threads=threads or len(os.sched_getaffinity(0)),
        server=server,
        listen=listen,
        insecure=insecure,
        mirror=mirror,
    )
