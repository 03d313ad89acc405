"""`rsq-agent index snapshot | restore | compact`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rsq.connection_options import agent_endpoint
from rsq_agent.cli.options import AgentAddress, Json
from rsq_agent.config import DEFAULT_LISTEN

SNAPSHOT_EPILOG = "Example:\n\nrsq-agent index snapshot harbours harbours.tar"
RESTORE_EPILOG = """Examples:

rsq-agent index restore harbours.tar

rsq-agent index restore harbours.tar --as harbours-2025"""
COMPACT_EPILOG = "Example:\n\nrsq-agent index compact harbours"


def snapshot(
    collection: Annotated[str, typer.Argument(help="Name of the collection.")],
    file: Annotated[Path, typer.Argument(metavar="FILE.tar", help="The file to write.")],
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Write a collection as it is now, its search graph included, to one file."""
    from rsq.care_client import CareClient
    from rsq.units import format_size

    with CareClient(agent_endpoint(agent)) as client, _progress("Saving", as_json) as advance:
        size_bytes = client.save_snapshot(collection, file, advance)
    if as_json:
        print(json.dumps({"collection": collection, "file": str(file), "bytes": size_bytes}))
    else:
        print(f"Wrote {collection!r} to {file} ({format_size(size_bytes)}).")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE.tar", help="What `snapshot` wrote.")],
    name: Annotated[
        str, typer.Option("--as", help="Name of the collection; by default as it was.")
    ] = "",
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Make a new collection of a snapshot, after every byte of it was checked."""
    from rsq.care_client import CareClient

    with CareClient(agent_endpoint(agent)) as client, _progress("Restoring", as_json) as advance:
        found = client.restore_snapshot(file, name, advance)
    if as_json:
        print(json.dumps(asdict(found), indent=2))
    else:
        print(f"Restored {found.points} vectors as {found.name!r}.")


def compact(
    collection: Annotated[str, typer.Argument(help="Name of the collection.")],
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Build the search graph now and give back the room of what was deleted."""
    from rsq.care_client import CareClient
    from rsq.units import format_size

    with CareClient(agent_endpoint(agent)) as client:
        found = client.compact(collection)
    if as_json:
        print(json.dumps({"collection": collection, **asdict(found)}))
        return
    print(
        f"{collection!r} with {found.points} vectors takes {format_size(found.after_bytes)} on "
        f"disk; it took {format_size(found.before_bytes)}."
    )


@contextmanager
def _progress(title: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        console=Console(stderr=True),
        disable=quiet or not sys.stderr.isatty(),
        transient=True,
    ) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
