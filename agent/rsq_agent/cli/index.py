"""`rsq-agent index add | rm | stats`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsq_agent.cli.options import AgentAddress, Collection, Json
from rsq_agent.config import DEFAULT_LISTEN

if TYPE_CHECKING:
    from rsq.retrieval import IndexItem, IndexOutcome

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


@index.command(epilog=EPILOG)
def add(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Images and folders.")],
    collection: Collection = DEFAULT_COLLECTION,
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Embed images and add them; the same file again changes nothing."""
    from rsq.client import Client
    from rsq_agent.archive import find_images

    files = list(find_images(paths))
    skipped: list[IndexOutcome] = []
    added = 0
    with Client(agent) as client:
        for outcome in _with_progress(
            client.index(_read(files), collection=collection), len(files), as_json
        ):
            if outcome.error is None:
                added += 1
            else:
                skipped.append(outcome)
    if as_json:
        rows = [
            {"uri": o.uri, "code": o.error.code, "message": o.error.message}
            for o in skipped
            if o.error is not None
        ]
        print(json.dumps({"collection": collection, "added": added, "skipped": rows}, indent=2))
        return
    print(f"Added {added} images to {collection!r}; skipped {len(skipped)}.")
    for outcome in skipped:
        print(f"  {outcome.uri}: {outcome.error}", file=sys.stderr)


@index.command("rm", epilog="Example:\n\nrsq-agent index rm ~/scenes/old.jpg")
def remove(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Images to remove.")],
    collection: Collection = DEFAULT_COLLECTION,
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Remove images from a collection; the files stay."""
    from rsq.client import Client
    from rsq_agent.archive import image_uri

    uris = [image_uri(path) for path in paths]
    with Client(agent) as client:
        deleted = client.delete(uris, collection=collection)
    if as_json:
        print(json.dumps({"collection": collection, "deleted": deleted}))
    else:
        print(f"Removed {deleted} vectors from {collection!r}.")


@index.command()
def stats(agent: AgentAddress = DEFAULT_LISTEN, as_json: Json = False) -> None:
    """List the collections with their sizes."""
    from rsq.client import Client

    with Client(agent) as client:
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


def _read(files: list[Path]) -> Iterator[IndexItem]:
    from rsq.retrieval import IndexItem
    from rsq_agent.archive import image_uri

    for path in files:
        try:
            data = path.read_bytes()
        except OSError:
            data = b""  # the agent answers that it is no image, and the report names the file
        yield IndexItem(image_uri(path), data)


def _with_progress(
    outcomes: Iterator[IndexOutcome], total: int, quiet: bool
) -> Iterator[IndexOutcome]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        disable=quiet or not sys.stderr.isatty(),
        transient=True,
    ) as progress:
        task = progress.add_task("Indexing", total=total)
        for outcome in outcomes:
            progress.advance(task)
            yield outcome
