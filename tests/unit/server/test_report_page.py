"""The whole page, read back as a browser's parser would."""

# ruff: noqa: RUF001 - the page writes typographic signs
from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_samples import make_details, make_manifests, make_version

from rsq.manifest import Manifest
from rsq.records import ArtifactEvaluation, VersionRow
from rsq_server.details import Details, QueryHits
from rsq_server.report_page.page import render_report

VOID = {"meta", "img", "br"}
HOSTILE = (
    "<script>alert(1)</script>",
    "'\"><img src=x onerror=alert(1)>",
    "</style><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; &amp",
    "--></title></details>",
)


class Reader(HTMLParser):
    """The elements with their attributes, and the text; refuses what is not nested."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice in {tag}"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(tag, tuple(attributes)) for tag, attributes in self.elements]


def render(version: VersionRow, details: Details | None) -> str:
    return render_report(version, make_manifests(version), details)


@pytest.fixture(scope="module")
def page() -> str:
    return render(make_version(), make_details())


@pytest.fixture(scope="module")
def reader(page: str) -> Reader:
    return Reader(page)


def test_the_page_needs_nothing_but_itself(page: str, reader: Reader) -> None:
    policy = next(m for m in reader.all("meta") if "http-equiv" in m)
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"].startswith("default-src 'none'; img-src data:;")
    for tag, attributes in reader.elements:
        assert tag not in {"script", "link", "iframe", "base", "object", "form"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "href", "xlink:href", "data", "poster", "srcset"}:
                assert value.startswith(("#", "data:image/jpeg;base64,"))
    assert not re.search(r"url\(|@import|@font-face", page)
    assert "http://" not in page
    assert "https://" not in page


def test_every_section_of_the_navigation_is_there(reader: Reader) -> None:
    wanted = [link["href"].removeprefix("#") for link in reader.all("a")]
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert set(wanted) <= set(ids)
    assert {"cost", "accuracy", "pairs", "sensitivity", "similarity", "hits", "lineage"} <= set(ids)


def test_pictures_and_tables_can_be_read_without_seeing_them(reader: Reader) -> None:
    pictures = reader.all("img")
    assert len(pictures) == 8  # nine hits, one of whose thumbnails was not recorded
    assert all("cosine" in picture["alt"] for picture in pictures)
    charts = reader.all("svg")
    assert len(charts) == 4 + 2 * 2 + 2  # trade-offs, two of each similarity, trials
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)
    assert reader.all("th")
    assert all("scope" in head for head in reader.all("th"))
    assert len(reader.all("caption")) == len(reader.all("table"))
    regions = [d for d in reader.all("div") if d.get("class") == "scroll"]
    assert len(regions) == len(reader.all("table"))  # each scrolls inside its own frame
    assert all(r["aria-label"] and r["tabindex"] == "0" for r in regions)
    assert reader.all("html")[0]["lang"] == "en"
    assert [m["content"] for m in reader.all("meta") if m.get("name") == "viewport"]


def test_the_page_says_what_the_records_say(reader: Reader) -> None:
    text = " ".join(reader.text.split())
    for fact in (
        "git-rsclip-base:3",
        "production",
        "modelscope:lcybuaa/Git-RSCLIP-base",
        "Apache-2.0",
        "2026-03-01 12:00 UTC",
        "768 dimensions",
        "cpu, CPUExecutionProvider, 1 worker, 2 threads",
        "Next to FP32, vision int8 is 4.0× smaller and 2.5× faster at batch 1, and finds the same",
        "97.7% of the queries (95% interval 96.5–98.3%)",
        "The calibration images are darker than the evaluation images.",
        "“port with large cargo ships”",
        "not measured on CUDAExecutionProvider",
        "onnx 1.23.0, torch 2.13.0",
        "head, layers.3",
        "c" * 64,
        "b" * 64,
        "cosine of at least 0.9975 to its own outputs",
    ):
        assert fact in text


def test_without_report_data_the_rest_is_there_and_the_page_says_what_is_missing() -> None:
    reader = Reader(render(make_version(), None))
    assert reader.text.count("published without report data") == 3
    assert len(reader.all("svg")) == 4
    assert reader.all("img") == []
    assert "No search for a mixed variant" not in reader.text  # nobody knows


def test_report_data_with_nothing_in_it_is_told_apart_from_none() -> None:
    reader = Reader(render(make_version(), Details("aid-rsicd", "d" * 64)))
    assert "without report data" not in reader.text
    for sentence in ("No search for a mixed", "No similarities were", "No hits were recorded"):
        assert sentence in reader.text


def test_a_version_of_which_nothing_was_measured_still_has_a_page() -> None:
    version = make_version()
    bare = tuple(
        dataclasses.replace(row, evaluation=None, profiles=()) for row in version.artifacts
    )
    version = dataclasses.replace(version, artifacts=bare, pairs=(), licence="", aliases=())
    reader = Reader(render(version, None))
    assert "No artifact of this version was evaluated." in reader.text
    assert "No pair of this version was evaluated." in reader.text
    assert "nothing to plot" in reader.text
    assert reader.all("svg") == []


def test_metrics_that_are_not_known_are_dashes() -> None:
    version = make_version()
    evaluation = ArtifactEvaluation(
        version.artifacts[2].id, "x", "d" * 64, {"cosine_mean": 0.99, "spread_ratio": 1.0}
    )
    rows = (
        *version.artifacts[:2],
        dataclasses.replace(version.artifacts[2], evaluation=evaluation),
        *version.artifacts[3:],
    )
    full = Reader(render(version, None)).text.count("–")
    less = Reader(render(dataclasses.replace(version, artifacts=rows), None)).text.count("–")
    assert less > full


def with_text(text: str) -> tuple[VersionRow, dict[str, Manifest], Details]:
    """Everything that a publisher, a checkpoint or a data set may have written is `text`."""
    version, details = make_version(), make_details()
    rows = tuple(
        dataclasses.replace(
            row,
            evaluation=row.evaluation and dataclasses.replace(row.evaluation, dataset=text),
            profiles=tuple(dataclasses.replace(p, device=text) for p in row.profiles),
        )
        for row in version.artifacts
    )
    version = dataclasses.replace(
        version, model=text, source=text, licence=text, aliases=(text,), artifacts=rows
    )
    manifests = {
        identity: dataclasses.replace(
            manifest,
            licence=text,
            recipe=dataclasses.replace(manifest.recipe, name=text, parameters={text: [text]}),
            lineage=dataclasses.replace(manifest.lineage, tools={text: text}),
        )
        for identity, manifest in make_manifests(version).items()
    }
    details = dataclasses.replace(
        details,
        dataset=text,
        notes=(text,),
        hits=tuple(QueryHits(text, query.pairs) for query in details.hits),
        similarities=tuple(dataclasses.replace(s, artifact=text) for s in details.similarities),
        sensitivities=tuple(
            dataclasses.replace(s, block=text, kept=text) for s in details.sensitivities
        ),
        trials=tuple(dataclasses.replace(t, kept=(text,)) for t in details.trials),
    )
    return version, manifests, details


PLAIN_SHAPE = Reader(render_report(*with_text("plain"))).shape


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    reader = Reader(render_report(*with_text(text)))
    assert reader.shape == PLAIN_SHAPE
    # model, title, alias, source, licence, note, query, kept blocks, ...
    assert reader.text.count(text) > 15


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_no_text_changes_the_pages_structure(text: str) -> None:
    assert Reader(render_report(*with_text(text))).shape == PLAIN_SHAPE


def test_hostile_variant_names_stay_text() -> None:
    text = HOSTILE[1]
    version = make_version()
    rows = (dataclasses.replace(version.artifacts[1], variant=text), *version.artifacts[2:])
    reader = Reader(render(dataclasses.replace(version, artifacts=rows), None))
    assert f"vision {text}" in reader.text
    assert not reader.all("img")
