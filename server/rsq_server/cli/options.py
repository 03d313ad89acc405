"""Options that several commands share. The environment is read here and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from rsq_server.config import DEFAULT_LISTEN, ServerConfig

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        help="Ask the server that runs there instead of the local data folder.",
        metavar="HOST:PORT",
    ),
]


def build_config(*, listen: str = DEFAULT_LISTEN, insecure: bool = False) -> ServerConfig:
    return ServerConfig(home=_home_folder(), listen=listen, insecure=insecure)


def _home_folder() -> Path:
    """RSQ_HOME/server, else below the platform's data folder."""
    home = os.environ.get("RSQ_HOME")
    if home:
        return Path(home).expanduser().absolute() / "server"
    from platformdirs import user_data_path

    return user_data_path("rsq") / "server"
