"""The page as a whole, read again by a parser that knows nothing of how it was made."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from importlib.resources import files
from urllib.parse import urlsplit

import pytest
from PIL import Image

from rsq.retrieval import BoundingBox, Payload, SearchHit, Window
from rsq_agent.results.hit_pictures import HitPicture
from rsq_agent.results.results_page.page import render_results

HOSTILE = "/tmp/\"><script>alert(1)</script>/\u202egnp.x onerror=alert(1) '&amp;<b>.png"


class Page(HTMLParser):
    """Its elements with their attributes, the text in each kind of element, and whose parent is
    whose."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in {"meta", "img"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]


def make_hit(
    uri: str = "/scenes/a.png", payload: Payload | None = None, score: float = 0.25
) -> SearchHit:
    return SearchHit(score, 0.5, uri, payload or Payload(), "a" * 64)


def make_picture() -> HitPicture:
    return HitPicture(Image.new("RGB", (32, 16), (200, 30, 30)))


def render(hits: list[SearchHit], query: str = "port") -> str:
    return render_results(query, hits, [make_picture()] * len(hits), collection="harbours")


@pytest.fixture
def placed() -> list[SearchHit]:
    """Two hits side by side, one far away, one without a place."""
    boxes = [BoundingBox(4, 51, 4.01, 51.01), BoundingBox(4.02, 51, 4.03, 51.01)]
    boxes.append(BoundingBox(-122.3, 37.7, -122.29, 37.71))
    hits = [make_hit(f"/scenes/{n}.png", Payload(bbox=box)) for n, box in enumerate(boxes)]
    return [*hits, make_hit("/scenes/nowhere.png")]


def test_the_page_asks_the_network_for_nothing(placed: list[SearchHit]) -> None:
    html = render([*placed, make_hit(HOSTILE)])
    page = Page(html)
    assert not page.all("link")
    assert not page.all("iframe")
    for _, attributes in page.elements:
        assert "srcset" not in attributes
        assert urlsplit(attributes.get("src", "data:")).scheme == "data"
        link = attributes.get("href", "#")
        assert link.startswith("#") or link.startswith("file:///")
    for name in ("style.css", "script.js"):
        text = files("rsq_agent.results.results_page").joinpath(name).read_text()
        assert not re.search(r"https?:|url\(|@import|fetch|XMLHttp|import\(", text)
        assert text in html


def test_its_policy_forbids_requests_and_knows_its_one_style_and_script() -> None:
    page = Page(render([make_hit()]))
    (policy,) = (meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for kind in ("style", "script"):
        (text,) = page.texts[kind]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
    # The policy would drop these, so the page must not count on them.
    assert not [a for _, a in page.elements if "style" in a or any(n[:2] == "on" for n in a)]


def test_hostile_names_and_tags_are_text_and_nothing_else() -> None:
    hit = make_hit(HOSTILE, Payload(tags=("<img src=x>", "'\"><svg onload=alert(1)>")))
    plain = make_hit("/tmp/a/b.png", Payload(tags=("a", "b")))
    html = render([hit], query="</title><script>alert(2)</script>")
    page, usual = Page(html), Page(render([plain]))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in usual.elements]
    assert "\u202e" not in html  # it would turn the name round
    assert "</title><script>alert(2)</script>" in page.texts["bdi"]
    assert "<img src=x>" in page.texts["bdi"]


def test_every_link_within_the_page_leads_somewhere_and_no_id_is_used_twice(
    placed: list[SearchHit],
) -> None:
    page = Page(render(placed))
    targets = {a["href"][1:] for a in page.all("a") if a["href"].startswith("#")}
    assert targets <= set(page.ids)
    assert {"hit-1", "place-1", "place-3", "map-A", "map-B"} <= targets
    assert len(page.ids) == len(set(page.ids))
    assert "place-4" not in page.ids


def test_a_card_tells_scores_time_window_tags_and_place() -> None:
    payload = Payload(
        Window(512, 0, 256, 128),
        BoundingBox(4, 51, 4.01, 51.01),
        "2024-05-01T12:30:00+02:00",
        ("port", "naip"),
    )
    page = Page(render([make_hit("/scenes/deep/a.png", payload, score=-0.0312)]))
    texts = [text for kind in ("bdi", "b", "a", "small") for text in page.texts[kind]]
    window = "256 \N{MULTIPLICATION SIGN} 128 at 512, 0 px"
    score = "\N{MINUS SIGN}0.0312"
    for told in ("a.png", "/scenes/deep", "2024-05-01 10:30 UTC", window, "port", "naip", score):
        assert told in texts
    assert "50.0%" in texts
    assert "On the map" in texts


def test_a_hit_without_a_picture_says_why() -> None:
    pictures = [HitPicture(None, "There is no such file on this machine.")]
    html = render_results("port", [make_hit()], pictures, collection="c")
    assert "There is no such file on this machine." in Page(html).texts["span"]
    assert not Page(html).all("img")


def test_pictures_have_a_description_and_maps_a_name(placed: list[SearchHit]) -> None:
    page = Page(render(placed))
    assert next(image["alt"] for image in page.all("img")) == "Hit 1: 0.png"
    maps = [svg["aria-label"] for svg in page.all("svg") if svg.get("class") == "map"]
    assert maps == ["Overview of 2 regions", "Map of 2 footprints", "Map of 1 footprint"]


def test_without_places_there_is_no_map_and_without_hits_no_card() -> None:
    page = Page(render([make_hit()]))
    assert not [svg for svg in page.all("svg") if svg.get("class") == "map"]
    assert "none has a known place" in page.texts["dd"]
    empty = Page(render([]))
    assert "Nothing was found." in empty.texts["p"]
    assert not empty.all("li")


def test_a_thousand_hits_all_over_the_earth_are_shown() -> None:
    hits = [
        make_hit(f"/{n}.png", Payload(bbox=BoundingBox(x, y, x + 0.01, y + 0.01)))
        for n, (x, y) in enumerate((n % 358 - 179, n * 7 % 170 - 85) for n in range(1000))
    ]
    page = Page(render(hits))
    assert len(page.all("li")) == 1000
    assert sum(element_id.startswith("map-") for element_id in page.ids) == 8
