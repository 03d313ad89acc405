"""Options that `index add` and `index watch` share, and how both show progress."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsq.errors import BadInput

if TYPE_CHECKING:
    from rsq_agent.indexing.index_plan import IndexSettings
    from rsq_agent.indexing.index_report import IndexReport

DEFAULT_TILE_PIXELS = 256
DEFAULT_MAX_NODATA = 0.5
DEFAULT_MAX_PIXELS = 4_000_000_000
_ROWS_SHOWN = 20

Tile = Annotated[
    int, typer.Option("--tile", help="Edge of a GeoTIFF's tiles in pixels.", metavar="PIXELS")
]
Overlap = Annotated[
    int, typer.Option("--overlap", help="Pixels that neighbouring tiles share.", metavar="PIXELS")
]
Bands = Annotated[
    str,
    typer.Option(
        "--bands",
        help="One band of a GeoTIFF or three, counted from 1; else those that show colour.",
        metavar="R,G,B",
    ),
]
MaxNodata = Annotated[
    float,
    typer.Option(
        "--max-nodata", help="Skip tiles with a larger share of empty pixels.", min=0, max=1
    ),
]
MaxPixels = Annotated[
    int, typer.Option("--max-pixels", help="Skip GeoTIFFs with more pixels.", min=1)
]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", help="A tag for everything added; may be repeated.")
]
ReportFile = Annotated[
    Path | None, typer.Option("--report", help="Write what was done and skipped as JSON.")
]


def build_settings(
    *,
    tile: int,
    overlap: int,
    bands: str,
    max_nodata: float,
    max_pixels: int,
    tags: list[str] | None,
) -> IndexSettings:
    """Raises BadInput."""
    from rsq_agent.indexing.index_plan import IndexSettings
    from rsq_agent.indexing.tiles import Tiling

    return IndexSettings(
        tiling=Tiling(tile, overlap),
        bands=parse_bands(bands),
        max_nodata=max_nodata,
        max_pixels=max_pixels,
        tags=tuple(tags or ()),
    )


def parse_bands(text: str) -> tuple[int, ...]:
    """Numbers between commas; none for an empty text. Raises BadInput."""
    try:
        return tuple(int(part) for part in text.split(",") if text)
    except ValueError as e:
        raise BadInput(f"{text!r} are no band numbers; write them like 4,3,2.") from e


def follow_progress(answers: Iterable[None], report: IndexReport, *, quiet: bool) -> None:
    """Runs through `answers`, with a bar on stderr where that is a terminal."""
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
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=quiet or not sys.stderr.isatty(),
        transient=True,
    ) as progress:
        task = progress.add_task("Indexing", total=None, rate="")
        for _ in answers:
            speed = progress.tasks[0].speed
            progress.update(
                task,
                completed=report.done,
                total=max(report.tiles, 1),
                rate=f"{speed:.1f}/s" if speed else "",
            )


def print_report(report: IndexReport) -> None:
    """A line on stdout, and what was left out on stderr."""
    row = report.to_json()
    skipped = sum(part["tiles"] for part in row["skipped"])
    print(
        f"Added {row['added']} vectors to {report.collection!r} at {row['per_second']:.1f}/s; "
        f"{row['already']} were there, {skipped} skipped"
        + (f", {row['removed']} outdated ones removed." if row["removed"] else ".")
    )
    lines = [f"  {part['uri']}: {part['message']} ({part['tiles']})" for part in row["skipped"]]
    lines += [
        f"  {part['uri']}: {part['message']} Indexed without a footprint."
        for part in row["without_footprint"]
    ]
    for line in lines[:_ROWS_SHOWN]:
        print(line, file=sys.stderr)
    if len(lines) > _ROWS_SHOWN:
        rest = len(lines) - _ROWS_SHOWN
        print(f"  ... and {rest} more; --report FILE lists all of them.", file=sys.stderr)
