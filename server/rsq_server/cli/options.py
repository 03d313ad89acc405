"""Options that several commands share. The environment is read here and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsq.rpc.limits import NO_LIMITS, Limits
from rsq.watchdog import Watchdog
from rsq_server.config import DEFAULT_LISTEN, ServerConfig

if TYPE_CHECKING:
    from rsq.tls import ServerTls

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        help="Ask the server that runs there instead of the local data folder.",
        metavar="HOST:PORT",
    ),
]


DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database",
        help="Where the registry is, instead of SQLite in the data folder: "
        "postgresql+psycopg://USER@HOST/NAME. Also as RSQ_DATABASE.",
        metavar="URL",
    ),
]
BlobsUrl = Annotated[
    str | None,
    typer.Option(
        "--blobs",
        help="Where the files are, instead of the data folder: s3://BUCKET/PREFIX. Also as "
        "RSQ_BLOBS.",
        metavar="URL",
    ),
]


# What stood before the command's name: the URLs of database and blobs.
_LOCATIONS: ContextVar[tuple[str | None, str | None]] = ContextVar(
    "locations", default=(None, None)
)


def keep_locations(database: str | None, blobs: str | None) -> None:
    """Called by the program's own options, before the command runs."""
    _LOCATIONS.set((database, blobs))


def build_config(
    *,
    listen: str = DEFAULT_LISTEN,
    insecure: bool = False,
    tls: ServerTls | None = None,
    require_token: bool = False,
    limits: Limits = NO_LIMITS,
) -> ServerConfig:
    database, blobs = _LOCATIONS.get()
    return ServerConfig(
        home=_home_folder(),
        database_url=database or os.environ.get("RSQ_DATABASE") or None,
        blobs_url=blobs or os.environ.get("RSQ_BLOBS") or None,
        listen=listen,
        insecure=insecure,
        tls=tls,
        require_token=require_token,
        limits=limits,
    )


def _home_folder() -> Path:
    """RSQ_HOME/server, else below the platform's data folder."""
    home = os.environ.get("RSQ_HOME")
    if home:
        return Path(home).expanduser().absolute() / "server"
    from platformdirs import user_data_path

    return user_data_path("rsq") / "server"


def open_watchdog(answers: Callable[[], bool]) -> Watchdog:
    """Tells systemd of this process, where systemd started it."""
    return Watchdog(os.environ, answers=answers)
