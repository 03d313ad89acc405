"""`rsq-agent search`."""

from __future__ import annotations

from typing import Annotated

import typer

from rsq.connection_options import agent_endpoint
from rsq.errors import BadInput
from rsq_agent.cli.index import DEFAULT_COLLECTION
from rsq_agent.cli.options import AgentAddress, Collection, Json
from rsq_agent.cli.search_options import (
    AnyTag,
    Bbox,
    Collapse,
    Diverse,
    Exact,
    Image,
    Like,
    Not,
    Offset,
    PerScene,
    PolygonFile,
    Since,
    Space,
    Tag,
    Threshold,
    Under,
    Until,
    Vector,
    build_filter,
    read_vector,
)
from rsq_agent.cli.search_output import ContactSheet, GeoJson, Html, SearchOutput, give_hits
from rsq_agent.config import DEFAULT_LISTEN

EPILOG = """Examples:

rsq-agent search "port with large cargo ships"

rsq-agent search "harbour" --bbox -71.2,42.2,-70.9,42.5 --since 2024-06-01 --until 2024-09-01

rsq-agent search "ships" --image query.jpg --not "clouds" --per-scene 1

rsq-agent search --image query.jpg -k 10 --contact-sheet hits.png

rsq-agent search "oil tanks" -k 50 --html hits.html --geojson hits.geojson"""


def search(
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="What to look for.")] = None,
    image: Image = None,
    like: Like = None,
    vector: Vector = None,
    space: Space = "",
    negative: Not = None,
    k: Annotated[int, typer.Option("-k", help="How many hits.", min=1, max=1000)] = 5,
    bbox: Bbox = None,
    polygon: PolygonFile = None,
    since: Since = None,
    until: Until = None,
    tag: Tag = None,
    any_tag: AnyTag = None,
    under: Under = "",
    threshold: Threshold = None,
    offset: Offset = 0,
    per_scene: PerScene = 0,
    diverse: Diverse = None,
    collapse: Collapse = None,
    exact: Exact = False,
    contact_sheet: ContactSheet = None,
    html: Html = None,
    geojson: GeoJson = None,
    collection: Collection = DEFAULT_COLLECTION,
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Find images by words, by images or by both, where and when you say."""
    from rsq.client import Client
    from rsq.retrieval import Diversity

    if not (text or image or like or vector):
        raise BadInput(
            "Say what to look for, with a text, --image, --like or --vector, for example: "
            'rsq-agent search "airport"'
        )
    wanted = build_filter(
        bbox=bbox,
        polygon=polygon,
        since=since,
        until=until,
        tags=tag,
        any_tags=any_tag,
        under=under,
    )
    with Client(agent_endpoint(agent)) as client:
        hits = client.search(
            text=text or (),
            image=image or (),
            vector=read_vector(vector) if vector is not None else None,
            like=like or (),
            negative=negative or (),
            k=k,
            offset=offset,
            min_score=threshold,
            filter=wanted,
            per_uri=per_scene,
            diversity=Diversity(diverse) if diverse is not None else None,
            collapse_cosine=collapse,
            exact=exact,
            space_id=space,
            collection=collection,
        )
    query = " + ".join(
        [text or "", *(f"like {one}" for one in (*(image or ()), *(like or ()), vector) if one)]
    ).removeprefix(" + ")
    query += "".join(f" - {one}" for one in negative or ())
    output = SearchOutput(contact_sheet, html, geojson, as_json)
    give_hits(hits, output, query=query, collection=collection)
