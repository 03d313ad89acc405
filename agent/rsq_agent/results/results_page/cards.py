"""Hits as a list of cards: the picture, how near it is, and where it comes from."""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from rsq.retrieval import SearchHit
from rsq_agent.results.hit_pictures import HitPicture, encode_jpeg
from rsq_agent.results.results_page.markup import Element, add

_MINUS = "\N{MINUS SIGN}"
_TIMES = "\N{MULTIPLICATION SIGN}"
_MAX_TAGS = 8
_HIDDEN = {"Cc", "Cf", "Zl", "Zp"}  # control, format, line and paragraph separators


def add_cards(
    parent: Element,
    hits: Sequence[SearchHit],
    pictures: Sequence[HitPicture],
    regions: Mapping[int, str],
) -> None:
    """One card a hit, in order. `regions` names by rank the map that shows the hit, empty where
    there is one map only; a hit that is not in it has no place."""
    cards = add(parent, "ol", class_="cards", id="hits")
    for rank, (hit, picture) in enumerate(zip(hits, pictures, strict=True), 1):
        card = add(cards, "li", id=f"hit-{rank}", data_hit=rank, tabindex=-1)
        _add_picture(card, rank, hit, picture)
        body = add(card, "div", class_="body")
        _add_scores(body, hit)
        _add_origin(body, hit)
        if rank in regions:
            text = f"On map {regions[rank]}" if regions[rank] else "On the map"
            add(body, "a", text, href=f"#place-{rank}", class_="to-map")


def file_name(uri: str) -> str:
    return show_hidden(PurePosixPath(uri).name or uri)


def show_hidden(text: str) -> str:
    """`text` with a mark for each character that can't be seen, such as one that turns the
    direction of writing: a name must not look like another."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in _HIDDEN else c for c in text
    )


def format_cosine(score: float) -> str:
    return f"{score:.4f}".replace("-", _MINUS)


def format_probability(chance: float) -> str:
    """In percent; never rounded to a certainty."""
    percent = chance * 100
    if percent < 0.1:
        return "<0.1%"
    if percent > 99.9:
        return ">99.9%"
    return f"{percent:.1f}%"


def format_time(text: str) -> str:
    """RFC 3339 as UTC, with seconds where there are some: "2024-05-01 10:30 UTC"."""
    moment = datetime.fromisoformat(text.upper()).astimezone(UTC)
    clock = "%H:%M" if moment.second == 0 else "%H:%M:%S"
    return moment.strftime(f"%Y-%m-%d {clock} UTC")


def _add_picture(card: Element, rank: int, hit: SearchHit, picture: HitPicture) -> None:
    frame = add(card, "div", class_="picture")
    if picture.image is None:
        missing = add(frame, "div", class_="missing")
        add(missing, "b", "No picture")
        add(missing, "span", picture.reason)
    else:
        data = base64.b64encode(encode_jpeg(picture.image)).decode()
        link = add(frame, "a", href=Path(hit.uri).as_uri())
        add(
            link,
            "img",
            src=f"data:image/jpeg;base64,{data}",
            alt=f"Hit {rank}: {file_name(hit.uri)}",
            width=picture.image.width,
            height=picture.image.height,
            decoding="async",
        )
    add(frame, "span", str(rank), class_="badge", aria_hidden="true")


def _add_scores(body: Element, hit: SearchHit) -> None:
    scores = add(body, "p", class_="scores")
    cosine = add(scores, "span")
    add(cosine, "b", format_cosine(hit.score))
    add(cosine, "small", "cosine")
    if hit.probability > 0:  # the model says something of one pair
        chance = add(scores, "span")
        add(chance, "b", format_probability(hit.probability))
        add(chance, "small", "probability")
        bar = add(body, "svg", viewBox="0 0 100 3", preserveAspectRatio="none", class_="bar")
        bar.set("aria-hidden", "true")
        add(bar, "rect", width=100, height=3, class_="track")
        add(bar, "rect", width=round(hit.probability * 100, 2), height=3)


def _add_origin(body: Element, hit: SearchHit) -> None:
    payload, path = hit.payload, PurePosixPath(hit.uri)
    # Isolated: a name that is written from right to left must not move what stands beside it.
    name = add(body, "h2")
    add(name, "bdi", file_name(hit.uri))
    facts = add(body, "dl")
    if payload.datetime:
        _add_fact(facts, "Time", format_time(payload.datetime))
    if (window := payload.window) is not None:
        size = f"{window.width} {_TIMES} {window.height} at {window.x}, {window.y}"
        _add_fact(facts, "Window", f"{size} px")
    if str(path.parent) != ".":
        _add_fact(facts, "Folder", show_hidden(str(path.parent)))
    if payload.tags:
        tags = add(body, "ul", class_="tags", aria_label="Tags")
        for tag in payload.tags[:_MAX_TAGS]:
            add(add(tags, "li"), "bdi", show_hidden(tag))
        if len(payload.tags) > _MAX_TAGS:
            more = add(tags, "li", f"{len(payload.tags) - _MAX_TAGS} more")
            more.set("title", show_hidden(", ".join(payload.tags[_MAX_TAGS:])))


def _add_fact(facts: Element, name: str, value: str) -> None:
    row = add(facts, "div")
    add(row, "dt", name)
    add(add(row, "dd"), "bdi", value)
