"""Options of `index add`, and its report in words."""

from __future__ import annotations

import pytest

from rsq.errors import BadInput
from rsq_agent.cli import index_options
from rsq_agent.cli.index_options import build_settings, parse_bands, print_report
from rsq_agent.indexing.image_entry import Skipped
from rsq_agent.indexing.index_plan import DEFAULT_MAX_PIXELS, IndexSettings
from rsq_agent.indexing.index_report import IndexReport
from rsq_agent.indexing.tiles import DEFAULT_TILE_PIXELS


def test_the_options_defaults_are_those_of_the_settings() -> None:
    assert index_options.DEFAULT_TILE_PIXELS == DEFAULT_TILE_PIXELS
    assert index_options.DEFAULT_MAX_PIXELS == DEFAULT_MAX_PIXELS
    settings = build_settings(
        tile=index_options.DEFAULT_TILE_PIXELS,
        overlap=0,
        bands="",
        max_nodata=index_options.DEFAULT_MAX_NODATA,
        max_pixels=index_options.DEFAULT_MAX_PIXELS,
        tags=None,
    )
    assert settings == IndexSettings()


def test_bands_are_numbers_between_commas() -> None:
    assert parse_bands("4,3, 2") == (4, 3, 2)
    assert parse_bands("") == ()
    with pytest.raises(BadInput, match="red"):
        parse_bands("red,green")


def test_a_long_report_is_cut_and_says_where_the_rest_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = IndexReport("naip")
    report.count(added=7)
    report.removed = 2
    for number in range(25):
        report.skip(Skipped(f"/{number}.tif", "BAD_IMAGE", "It is damaged."))
    print_report(report)
    shown = capsys.readouterr()
    assert "Added 7 vectors to 'naip'" in shown.out
    assert "25 skipped, 2 outdated ones removed." in shown.out
    assert shown.err.count("It is damaged.") == 20
    assert "5 more; --report FILE" in shown.err
