"""`rsq-agent search`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsq.errors import BadInput, EnvironmentFault
from rsq_agent.cli.index import DEFAULT_COLLECTION
from rsq_agent.cli.options import AgentAddress, Collection, Json
from rsq_agent.config import DEFAULT_LISTEN

if TYPE_CHECKING:
    from rsq.retrieval import SearchHit

EPILOG = """Examples:

rsq-agent search "port with large cargo ships"

rsq-agent search --image query.jpg -k 10 --contact-sheet hits.png"""


def search(
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="What to look for.")] = None,
    image: Annotated[
        Path | None, typer.Option("--image", help="Look for images like this file.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many hits.", min=1, max=1000)] = 5,
    contact_sheet: Annotated[
        Path | None, typer.Option("--contact-sheet", help="Write the hits as a PNG.")
    ] = None,
    collection: Collection = DEFAULT_COLLECTION,
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Find images by words or by an example image."""
    from rsq.client import Client

    if (text is None) == (image is None):
        raise BadInput('Give either a text or --image, for example: rsq-agent search "airport"')
    with Client(agent) as client:
        hits = client.search(text=text, image=image, k=k, collection=collection)
    if contact_sheet is not None:
        _write_sheet(contact_sheet, text or f"like {image}", hits)
    if as_json:
        rows = [
            {"score": hit.score, "uri": hit.uri, "payload": hit.payload.to_json()} for hit in hits
        ]
        print(json.dumps({"hits": rows}, indent=2))
        return
    _print_hits(hits)
    if contact_sheet is not None:
        print(f"Contact sheet: {contact_sheet}")


def _print_hits(hits: list[SearchHit]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not hits:
        print("No hits; is the collection empty? See: rsq-agent index stats")
        return
    table = Table()
    table.add_column("", justify="right")
    table.add_column("cosine", justify="right")
    table.add_column("image", overflow="fold")
    for place, hit in enumerate(hits, 1):
        table.add_row(str(place), f"{hit.score:.4f}", hit.uri)
    Console().print(table)


def _write_sheet(path: Path, title: str, hits: list[SearchHit]) -> None:
    from rsq.errors import BadImage
    from rsq.images import decode_image
    from rsq_agent.contact_sheet import SheetHit, render_contact_sheet

    tiles = []
    for hit in hits:
        try:
            picture = decode_image(Path(hit.uri).read_bytes())
        except (OSError, BadImage):
            picture = None
        tiles.append(SheetHit(picture, hit.score, Path(hit.uri).name))
    try:
        render_contact_sheet(title, tiles).save(path, format="PNG")
    except OSError as e:
        raise EnvironmentFault(f"{path} can't be written: {e.strerror or e}.") from e
