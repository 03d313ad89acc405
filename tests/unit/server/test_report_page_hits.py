# ruff: noqa: RUF001 - the page writes typographic signs
from __future__ import annotations

import base64
from dataclasses import replace

from report_samples import make_details

from rsq_server.details import Details, QueryHits
from rsq_server.report_page.hits import Query, show_hits

DETAILS = make_details()
COLOURS = {"fp32": "v0", "fp16": "v1", "int8": "v2"}


def show_one(details: Details) -> Query:
    (query,) = show_hits(details, COLOURS)
    return query


def test_fp32_comes_first_and_every_pair_has_its_colour() -> None:
    query = show_one(DETAILS)
    assert [(pair.variant, pair.mark) for pair in query.pairs] == [
        ("fp32", "v0"),
        ("int8", "v2"),
        ("fp16", "v1"),
    ]


def test_hits_in_another_place_than_fp32s_are_marked() -> None:
    moves = {
        pair.variant: [picture.moved for picture in pair.pictures]
        for pair in show_one(DETAILS).pairs
    }
    assert moves == {"fp32": ["", "", ""], "fp16": ["", "", ""], "int8": ["was 2", "was 1", "new"]}
    summaries = {pair.variant: pair.summary for pair in show_one(DETAILS).pairs}
    assert summaries == {"fp32": "the reference", "fp16": "as FP32", "int8": "2 moved, 1 new"}


def test_without_fp32_nothing_is_marked() -> None:
    pairs = {"int8": DETAILS.hits[0].pairs["int8"]}
    query = show_one(replace(DETAILS, hits=(QueryHits("port", pairs),)))
    assert query.pairs[0].summary == ""
    assert {picture.moved for picture in query.pairs[0].pictures} == {""}


def test_pictures_carry_their_thumbnail_score_and_description() -> None:
    first, second, third = show_one(DETAILS).pairs[0].pictures
    data = (DETAILS.thumbnails or {})["000001"]
    assert first.source == f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    assert first.description == "Hit 1: image 000001, cosine 0.3125, right"
    assert second.description.endswith(", not what was asked for")
    assert third.description == "Hit 3: image 000003, cosine -0.1250"
    assert third.score == "−0.1250"


def test_a_hit_without_thumbnail_has_no_picture() -> None:
    pictures = [
        p for pair in show_one(replace(DETAILS, thumbnails=None)).pairs for p in pair.pictures
    ]
    assert {picture.source for picture in pictures} == {""}
    assert all(picture.description for picture in pictures)
