"""`rsq-agent index add`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsq.connection_options import agent_endpoint
from rsq.error_catalog import outcome_of
from rsq.errors import BadInput, Interrupted, RsqError
from rsq_agent.cli import index_options as shared
from rsq_agent.cli.options import AgentAddress, Collection, Json
from rsq_agent.config import DEFAULT_LISTEN

if TYPE_CHECKING:
    from rsq_agent.indexing.index_report import IndexReport

EPILOG = """Examples:

rsq-agent index add ~/scenes

rsq-agent index add naip.tif --tile 512 --bands 1,2,3 --tag naip

rsq-agent index add catalog.json tiles.parquet --report report.json"""

Paths = Annotated[
    list[Path],
    typer.Argument(metavar="PATH...", help="Images, folders, STAC JSON, JSONL or Parquet lists."),
]


def add(
    paths: Paths,
    collection: Collection = "default",
    tile: shared.Tile = shared.DEFAULT_TILE_PIXELS,
    overlap: shared.Overlap = 0,
    bands: shared.Bands = "",
    max_nodata: shared.MaxNodata = shared.DEFAULT_MAX_NODATA,
    max_pixels: shared.MaxPixels = shared.DEFAULT_MAX_PIXELS,
    tags: shared.Tags = None,
    report_file: shared.ReportFile = None,
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Embed images and GeoTIFF tiles and add them; what is there already is left as it is."""
    from rsq.client import Client
    from rsq_agent.indexing.index_report import IndexReport
    from rsq_agent.indexing.index_run import index_entries
    from rsq_agent.indexing.index_sources import find_entries

    settings = shared.build_settings(
        tile=tile,
        overlap=overlap,
        bands=bands,
        max_nodata=max_nodata,
        max_pixels=max_pixels,
        tags=tags,
    )
    entries = find_entries(paths)
    report = IndexReport(collection)
    try:
        with Client(agent_endpoint(agent)) as client:
            answers = index_entries(client, entries, settings, report)
            shared.follow_progress(answers, report, quiet=as_json)
    except RsqError as e:
        report.stopped = e
        raise type(e)(f"{e.message}{_tell_added(report)}", metadata=e.metadata) from e
    except KeyboardInterrupt as e:
        report.stopped = Interrupted(f"Stopped.{_tell_added(report)}")
        raise report.stopped from e
    else:
        if not report.added and not report.already:
            report.stopped = _nothing_added(report)
    finally:
        if report_file is not None:
            report.write(report_file)
    if as_json:
        print(json.dumps(report.to_json(), indent=2))
        if report.stopped is not None:
            raise typer.Exit(outcome_of(report.stopped).exit_code)
        return
    shared.print_report(report)
    if report.stopped is not None:
        raise report.stopped


def _tell_added(report: IndexReport) -> str:
    if not report.added:
        return ""
    return f" {report.added} vectors were added before; run it again to go on from there."


def _nothing_added(report: IndexReport) -> BadInput:
    skipped = report.skipped
    if not skipped:
        return BadInput("There are no images among the paths.")
    return BadInput(f"Nothing was added. {skipped[0].uri}: {skipped[0].message}")
