"""The page of search results: one file that needs nothing else. Its security policy forbids every
request, and names its one style and one script by their digests."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from xml.etree import ElementTree as Xml

from rsq.retrieval import SearchHit
from rsq_agent.results.hit_pictures import HitPicture
from rsq_agent.results.outline import find_outline
from rsq_agent.results.results_page.cards import (
    add_cards,
    file_name,
    format_cosine,
    format_time,
    show_hidden,
)
from rsq_agent.results.results_page.footprint_map import draw_overview, draw_region
from rsq_agent.results.results_page.markup import Element, add
from rsq_agent.results.results_page.regions import Region, find_regions

_LETTERS = "ABCDEFGH"  # more maps than these would bury the overview


def render_results(
    query: str, hits: Sequence[SearchHit], pictures: Sequence[HitPicture], *, collection: str
) -> str:
    """The page as HTML. `query` says what was looked for; `pictures` has one for each hit."""
    style = _read_part("style.css")
    script = _read_part("script.js")
    html = Xml.Element("html", {"lang": "en"})
    head = add(html, "head")
    add(head, "meta", charset="utf-8")
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_digest(style)}; script-src {_digest(script)}"
    )
    add(head, "meta", http_equiv="Content-Security-Policy", content=policy)
    add(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    add(head, "title", f"{query} \N{EN DASH} rsq search")
    add(head, "style", style)
    body = add(html, "body")
    add(body, "a", "Skip to the hits", href="#hits", class_="skip")
    _add_header(body, query, hits, collection)
    outlines = {
        rank: outline for rank, hit in enumerate(hits, 1) if (outline := find_outline(hit.payload))
    }
    regions = find_regions(outlines)
    main = add(body, "main", class_="with-map" if regions else "plain")
    if regions:
        _add_maps(main, hits, regions)
    add_cards(main, hits, pictures, _name_maps(regions))
    if not hits:
        add(main, "p", "Nothing was found.", class_="nothing")
    add(
        body,
        "footer",
        "Made by rsq-agent search. This page holds all it shows and asks the network for nothing.",
    )
    add(body, "script", script)
    return f"<!doctype html>\n{Xml.tostring(html, encoding='unicode', method='html')}\n"


def _add_header(body: Element, query: str, hits: Sequence[SearchHit], collection: str) -> None:
    header = add(body, "header")
    add(header, "p", "rsq search", class_="kicker")
    add(add(header, "h1"), "bdi", show_hidden(query))
    facts = add(header, "dl", class_="facts")
    placed = sum(bool(find_outline(hit.payload)) for hit in hits)
    times = sorted(format_time(hit.payload.datetime) for hit in hits if hit.payload.datetime)
    rows = [("Hits", str(len(hits))), ("Collection", collection)]
    if hits:
        best, last = format_cosine(hits[0].score), format_cosine(hits[-1].score)
        rows.append(("Cosine", best if best == last else f"{best} to {last}"))
        rows.append(("Images", str(len({hit.uri for hit in hits}))))
        rows.append(("On the map", str(placed) if placed else "none has a known place"))
    if times:
        first, last = times[0][:10], times[-1][:10]
        rows.append(("Time", first if first == last else f"{first} to {last}"))
    for name, value in rows:
        row = add(facts, "div")
        add(row, "dt", name)
        add(row, "dd", value)


def _add_maps(main: Element, hits: Sequence[SearchHit], regions: Sequence[Region]) -> None:
    kind = "maps several" if len(regions) > 1 else "maps"
    section = add(main, "section", class_=kind, aria_label="Where the hits lie")
    names = {
        rank: f"Hit {rank}: {file_name(hit.uri)}, cosine {format_cosine(hit.score)}"
        for rank, hit in enumerate(hits, 1)
    }
    if len(regions) == 1:
        add(section, "figure").append(draw_region(regions[0], names))
        return
    overview = add(section, "figure")
    overview.append(draw_overview(regions, _LETTERS))
    left_out = len(regions) - len(_LETTERS)
    told = f"{len(regions)} regions"
    if left_out > 0:
        told += f"; the {left_out} with the hits of lowest rank have no map of their own"
    add(overview, "figcaption", told)
    for letter, region in zip(_LETTERS, regions, strict=False):
        figure = add(section, "figure", id=f"map-{letter}", tabindex=-1)
        count = len(region.outlines)
        caption = add(figure, "figcaption")
        add(caption, "b", letter)
        add(caption, "span", f"{count} {'hit' if count == 1 else 'hits'}")
        figure.append(draw_region(region, names))


def _name_maps(regions: Sequence[Region]) -> dict[int, str]:
    if len(regions) == 1:
        return dict.fromkeys(regions[0].outlines, "")
    shown = zip(_LETTERS, regions, strict=False)
    return {rank: letter for letter, region in shown for rank in region.outlines}


def _read_part(name: str) -> str:
    return files("rsq_agent.results.results_page").joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
