"""`rsq-server models` and `rsq-server show`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rsq_server.cli.options import Json, Server
from rsq_server.cli.output import print_json, print_table
from rsq_server.gates import FIXED_GATES, Gates

if TYPE_CHECKING:
    from rsq.records import VersionRow

MODELS_EPILOG = """Examples:

rsq-server models

rsq-server models --server 127.0.0.1:7100 --json"""

SHOW_EPILOG = """Examples:

rsq-server show git-rsclip-base

rsq-server show git-rsclip-base:3 --json

rsq-server show git-rsclip-base@staging --server 127.0.0.1:7100"""


def models(server: Server = None, as_json: Json = False) -> None:
    """List the models with their versions and aliases."""
    from rsq_server.cli.registry import open_registry

    with open_registry(server) as registry:
        rows = registry.models()
    if as_json:
        print_json({"models": [asdict(row) for row in rows]})
    elif rows:
        print_table(
            [
                {
                    "model": row.name,
                    "versions": str(row.versions),
                    "newest": str(row.newest),
                    "aliases": ", ".join(f"{name} -> {n}" for name, n in row.aliases.items()),
                }
                for row in rows
            ]
        )
    else:
        print("No models yet. Publish one: rsq-server publish demo --name demo")


def show(
    reference: Annotated[str, typer.Argument(metavar="NAME", help="NAME, NAME:3 or NAME@alias.")],
    server: Server = None,
    as_json: Json = False,
) -> None:
    """Show a version: its artifacts, and what was measured of each."""
    from rsq_server.cli.registry import open_registry

    with open_registry(server) as registry:
        version = registry.version(reference)
    if as_json:
        from rsq_server.report import version_to_json

        print_json(version_to_json(version))
    else:
        print_version(version)


def print_version(version: VersionRow, gates: Gates = FIXED_GATES) -> None:
    """The version's facts and the table of its artifacts."""
    from rsq_server.report import version_table_rows

    aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
    print(f"{version.model}:{version.version}{aliases}", flush=True)  # before what rich writes
    if version.deleted_at is not None:
        print(f"DELETED on {version.deleted_at[:10]}: its files may be gone.", flush=True)
    if version.deprecated is not None:
        print(f"DEPRECATED: {version.deprecated}", flush=True)
    print_table(version_table_rows(version, gates), keys=2)  # tower and variant
    licence = version.licence or "not stated"
    print(f"Source {version.source}, licence {licence}, published {version.created_at}.")
    print(f"Space {version.space_id}, {version.dimension} dimensions.")
