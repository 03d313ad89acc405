"""`rsq-agent index`, with rm and stats; the larger commands have modules of their own."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rsq.connection_options import agent_endpoint, calls_agent
from rsq_agent.cli.options import AgentAddress, Collection, Json
from rsq_agent.config import DEFAULT_LISTEN

DEFAULT_COLLECTION = "default"
EPILOG = """Examples:

rsq-agent index add ~/scenes

rsq-agent index add tile-1.jpg tile-2.png --collection harbours

rsq-agent index stats"""

index = typer.Typer(
    help="Add images to a collection, remove them, count them.",
    epilog=EPILOG,
    no_args_is_help=True,
)


@index.command("rm", epilog="Example:\n\nrsq-agent index rm ~/scenes/old.jpg")
@calls_agent
def remove(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Images to remove.")],
    collection: Collection = DEFAULT_COLLECTION,
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Remove images from a collection; the files stay."""
    from rsq.client import Client
    from rsq_agent.indexing.archive import image_uri

    uris = [image_uri(path) for path in paths]
    with Client(agent_endpoint(agent)) as client:
        deleted = client.delete(uris, collection=collection)
    if as_json:
        print(json.dumps({"collection": collection, "deleted": deleted}))
    else:
        print(f"Removed {deleted} vectors from {collection!r}.")


@index.command()
@calls_agent
def stats(agent: AgentAddress = DEFAULT_LISTEN, as_json: Json = False) -> None:
    """List the collections with their sizes."""
    from rsq.client import Client

    with Client(agent_endpoint(agent)) as client:
        rows = client.collections()
    if as_json:
        print(json.dumps({"collections": [asdict(row) for row in rows]}, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    from rsq.units import format_size

    table = Table()
    for column in ("collection", "vectors", "dimension", "on disk", "space"):
        table.add_column(column)
    for row in rows:
        table.add_row(
            row.name,
            str(row.points),
            str(row.dimension),
            format_size(row.bytes_on_disk),
            row.space_id[:12],
        )
    Console().print(table)
