"""`rsq-agent index watch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsq.connection_options import agent_endpoint
from rsq.stop_signals import stop_on_signals
from rsq_agent.cli import index_options as shared
from rsq_agent.cli.options import AgentAddress, Collection
from rsq_agent.config import DEFAULT_LISTEN

EPILOG = """Examples:

rsq-agent index watch /data/incoming

rsq-agent index watch /data/incoming --once --every 2s"""

Folders = Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders to look into.")]
Every = Annotated[
    str, typer.Option("--every", help="Time between two looks: 2s, 10s, 5m.", metavar="TIME")
]
Once = Annotated[
    bool, typer.Option("--once", help="Look twice, index what did not change in between, and end.")
]


def watch(
    folders: Folders,
    every: Every = "10s",
    once: Once = False,
    collection: Collection = "default",
    tile: shared.Tile = shared.DEFAULT_TILE_PIXELS,
    overlap: shared.Overlap = 0,
    bands: shared.Bands = "",
    max_nodata: shared.MaxNodata = shared.DEFAULT_MAX_NODATA,
    max_pixels: shared.MaxPixels = shared.DEFAULT_MAX_PIXELS,
    tags: shared.Tags = None,
    agent: AgentAddress = DEFAULT_LISTEN,
) -> None:
    """Index images as they arrive in a folder, once they are written completely."""
    from rsq.client import Client
    from rsq.logs import LogFormat, LogLevel, configure_logs
    from rsq.units import parse_seconds
    from rsq_agent.indexing.archive import find_images
    from rsq_agent.indexing.folder_watch import FolderWatch
    from rsq_agent.indexing.image_entry import ImageEntry
    from rsq_agent.indexing.index_report import IndexReport
    from rsq_agent.indexing.index_run import index_entries

    seconds = parse_seconds(every)
    settings = shared.build_settings(
        tile=tile,
        overlap=overlap,
        bands=bands,
        max_nodata=max_nodata,
        max_pixels=max_pixels,
        tags=tags,
    )
    find_images(folders)  # says at once what isn't there
    configure_logs(LogFormat.TEXT, LogLevel.INFO)
    stop = stop_on_signals()

    def index(entries: list[ImageEntry]) -> IndexReport:
        report = IndexReport(collection)
        with Client(agent_endpoint(agent)) as client:
            for _ in index_entries(client, entries, settings, report, stop=stop):
                pass
        return report

    watched = FolderWatch(folders, seconds=seconds, index=index)
    if not once:
        watched.run(stop)
        return
    watched.look()
    if not stop.wait(seconds):
        watched.look()
