"""Dates in names and tags, and digits that are none."""

from __future__ import annotations

import pytest

from rsq_agent.indexing.scene_time import parse_time, time_from_name, time_from_tag


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("/a/m_4709963_se_14_1_20180716.tif", "2018-07-16T00:00:00Z"),
        ("S2A_MSIL2A_20200831T104031_N0214.tif", "2020-08-31T10:40:31Z"),
        ("scene-2021-02-03.tif", "2021-02-03T00:00:00Z"),
        ("LC08_L2SP_139045_20170304_20200829_02_T1.tif", "2017-03-04T00:00:00Z"),
        ("/20200101/scene.tif", None),  # a folder's name says nothing of the file
        ("12345678.jpg", None),
        ("x_20201345.tif", None),
        ("20200831123.tif", None),
        ("2020-08_31.tif", None),
        ("scene_20200831_995959.tif", None),
    ],
)
def test_the_first_date_of_a_name(name: str, time: str | None) -> None:
    assert time_from_name(name) == time


def test_tags_hold_tiff_times() -> None:
    assert time_from_tag("2018:07:16 17:01:02") == "2018-07-16T17:01:02Z"
    assert time_from_tag("yesterday") is None
    assert time_from_tag("0000:00:00 00:00:00") is None


def test_iso_times_become_utc() -> None:
    assert parse_time("2018-07-16") == "2018-07-16T00:00:00Z"
    assert parse_time("2018-07-16T12:00:00+02:00") == "2018-07-16T10:00:00Z"
    assert parse_time("2018-07-16T12:00:00.5Z") == "2018-07-16T12:00:00.500000Z"
    assert parse_time("July") is None
