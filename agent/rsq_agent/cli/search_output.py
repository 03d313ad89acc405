"""What `rsq-agent search` gives out: a table or JSON, and files for those who look or map."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rsq.retrieval import SearchHit, Window

ContactSheet = Annotated[
    Path | None, typer.Option("--contact-sheet", help="Write the hits as a PNG.", metavar="FILE")
]
Html = Annotated[
    Path | None,
    typer.Option("--html", help="Write a page with pictures and a map.", metavar="FILE"),
]
GeoJson = Annotated[
    Path | None, typer.Option("--geojson", help="Write the footprints.", metavar="FILE")
]

_PAGE_PICTURE = 320  # pixels: sharp on a screen of twice the usual density
_SHEET_PICTURE = 448  # twice a tile of the sheet, which crops to a square
_WIDE_CHARACTERS = 110  # a console with room for window and time beside the name
_KINDS = {"contact_sheet": "Contact sheet", "html": "Page", "geojson": "Footprints"}


@dataclass(frozen=True)
class SearchOutput:
    contact_sheet: Path | None = None
    html: Path | None = None
    geojson: Path | None = None
    as_json: bool = False


def give_hits(
    hits: Sequence[SearchHit], output: SearchOutput, *, query: str, collection: str
) -> None:
    """Writes the files of `output`, then prints the hits. `query` says what was looked for."""
    if output.contact_sheet is not None:
        _write(output.contact_sheet, _draw_sheet(query, hits))
    if output.html is not None:
        _write(output.html, _render_page(query, hits, collection))
    if output.geojson is not None:
        _write(output.geojson, _format_geojson(hits))
    if output.as_json:
        print(json.dumps({"hits": [_to_json(hit) for hit in hits]}, indent=2))
        return
    _print_table(hits)
    for field, kind in _KINDS.items():
        if (path := getattr(output, field)) is not None:
            print(f"{kind}: {path}")


def format_window(window: Window | None) -> str:
    """Width, height and the upper left corner, as X11 writes it: "256x256+512+0"."""
    return f"{window.width}x{window.height}+{window.x}+{window.y}" if window else ""


def _print_table(hits: Sequence[SearchHit]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if not hits:
        print("No hits; is the collection empty? See: rsq-agent index stats")
        return
    console = Console()
    is_wide = console.width >= _WIDE_CHARACTERS
    table = Table()
    table.add_column("", justify="right")
    table.add_column("cosine", justify="right")
    with_chance = any(hit.probability > 0 for hit in hits)
    if with_chance:
        table.add_column("probability", justify="right")
    table.add_column("image", overflow="fold")
    # What no hit has needs no column, and what has no room stands below the name.
    with_window = is_wide and any(hit.payload.window for hit in hits)
    with_time = is_wide and any(hit.payload.datetime for hit in hits)
    if with_window:
        table.add_column("window", no_wrap=True)
    if with_time:
        table.add_column("time", no_wrap=True)
    for place, hit in enumerate(hits, 1):
        window, time = format_window(hit.payload.window), hit.payload.datetime or ""
        below = "" if is_wide else " ".join(filter(None, (window, time)))
        row = [str(place), f"{hit.score:.4f}"]
        if with_chance:
            row.append(f"{hit.probability:.4f}")
        row.append(escape("\n".join(filter(None, (hit.uri, below)))))
        if with_window:
            row.append(window)
        if with_time:
            row.append(time)
        table.add_row(*row)
    console.print(table)


def _to_json(hit: SearchHit) -> dict[str, object]:
    return {
        "score": hit.score,
        "probability": hit.probability,
        "uri": hit.uri,
        "payload": hit.payload.to_json(),
        "artifact_id": hit.artifact_id,
    }


def _draw_sheet(query: str, hits: Sequence[SearchHit]) -> bytes:
    import io

    from rsq_agent.results.contact_sheet import SheetHit, render_contact_sheet
    from rsq_agent.results.hit_pictures import cut_pictures

    pictures = cut_pictures(hits, edge=_SHEET_PICTURE)
    tiles = [
        SheetHit(picture.image, hit.score, Path(hit.uri).name)
        for hit, picture in zip(hits, pictures, strict=True)
    ]
    buffer = io.BytesIO()
    render_contact_sheet(query, tiles).save(buffer, format="PNG")
    return buffer.getvalue()


def _render_page(query: str, hits: Sequence[SearchHit], collection: str) -> bytes:
    from rsq_agent.results.hit_pictures import cut_pictures
    from rsq_agent.results.results_page.page import render_results

    pictures = cut_pictures(hits, edge=_PAGE_PICTURE)
    return render_results(query, hits, pictures, collection=collection).encode()


def _format_geojson(hits: Sequence[SearchHit]) -> bytes:
    from rsq_agent.results.geojson import hits_to_geojson

    return json.dumps(hits_to_geojson(hits), ensure_ascii=False, indent=1).encode() + b"\n"


def _write(path: Path, data: bytes) -> None:
    from rsq.output_file import write_output

    write_output(path, [data])
