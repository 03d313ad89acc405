"""`rsq-agent index export | import`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from rsq.connection_options import agent_endpoint
from rsq.errors import BadInput
from rsq_agent.cli.options import AgentAddress, Json
from rsq_agent.config import DEFAULT_LISTEN

if TYPE_CHECKING:
    from rsq.retrieval import IndexOutcome

EXPORT_EPILOG = "Example:\n\nrsq-agent index export harbours -o harbours.parquet"
IMPORT_EPILOG = "Example:\n\nrsq-agent index import harbours.parquet --collection harbours-2024"

_MAX_SHOWN = 20
T = TypeVar("T")


def export(
    collection: Annotated[str, typer.Argument(help="Name of the collection.")],
    out: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write.", metavar="FILE.parquet")
    ],
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Write a collection's vectors, footprints and times as GeoParquet."""
    from dataclasses import replace

    from rsq.client import Client
    from rsq_agent.results.geoparquet_writer import write_geoparquet

    with Client(agent_endpoint(agent)) as client:
        found = client.export(collection)
        records = _with_progress(found.records, "Exporting", found.total, as_json)
        written = write_geoparquet(out, replace(found, records=records), collection=collection)
    size_bytes = out.stat().st_size
    if as_json:
        fields = {"collection": collection, "file": str(out), "records": written}
        print(json.dumps({**fields, "bytes": size_bytes, "space_id": found.space_id}, indent=2))
        return
    from rsq.units import format_size

    print(f"Wrote {written} vectors of {collection!r} to {out} ({format_size(size_bytes)}).")


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE.parquet", help="What `export` wrote.")],
    collection: Annotated[
        str | None,
        typer.Option("--collection", help="Where to; by default the one that was exported."),
    ] = None,
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Add the vectors of a GeoParquet file; the same file again changes nothing."""
    from rsq.client import Client
    from rsq.retrieval import DEFAULT_COLLECTION
    from rsq_agent.results.geoparquet_reader import read_geoparquet

    source = read_geoparquet(file)
    name = collection or source.collection or DEFAULT_COLLECTION
    added = 0
    skipped: list[IndexOutcome] = []
    with Client(agent_endpoint(agent)) as client:
        outcomes = client.import_records(
            source.records,
            space_id=source.space_id,
            dimension=source.dimension,
            collection=name,
        )
        for outcome in _with_progress(outcomes, "Importing", source.total, as_json):
            if outcome.error is None:
                added += 1
            else:
                skipped.append(outcome)
    if skipped and not added:
        first = skipped[0]
        raise BadInput(f"No vector of {file} was imported; {first.uri} was refused: {first.error}")
    if as_json:
        rows = [
            {"uri": row.uri, "code": row.error.code, "message": row.error.message}
            for row in skipped
            if row.error is not None
        ]
        print(json.dumps({"collection": name, "added": added, "skipped": rows}, indent=2))
        return
    print(f"Imported {added} vectors into {name!r}; skipped {len(skipped)}.")
    for row in skipped[:_MAX_SHOWN]:
        print(f"  {row.uri}: {row.error}", file=sys.stderr)
    if len(skipped) > _MAX_SHOWN:
        print(f"  and {len(skipped) - _MAX_SHOWN} more; --json lists all", file=sys.stderr)


def _with_progress(items: Iterable[T], title: str, total: int, quiet: bool) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=quiet or not sys.stderr.isatty(),
        transient=True,
    ) as progress:
        task = progress.add_task(title, total=total)
        for item in items:
            progress.advance(task)
            yield item
