from __future__ import annotations

import json
from pathlib import Path

import pytest

from rsq.errors import IntegrityError
from rsq_agent.collections.search_widths import (
    DEFAULT_WIDTHS,
    SearchWidths,
    WidthPair,
    read_widths,
    write_widths,
)

FIELDS = {"schema": 2, **{key: {"near": 1, "far": 2} for key in ("plain", "wide", "narrow")}}
WIDTHS = SearchWidths(WidthPair(32, 192), WidthPair(64, 384), WidthPair(96, 768))


def test_widths_survive_the_disk(tmp_path: Path) -> None:
    write_widths(tmp_path, WIDTHS)
    assert read_widths(tmp_path) == WIDTHS


def test_a_shard_that_was_never_measured_has_the_defaults(tmp_path: Path) -> None:
    assert read_widths(tmp_path) == DEFAULT_WIDTHS


def test_what_a_newer_release_measured_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "search_widths.json").write_text('{"schema": 3}')
    assert read_widths(tmp_path) == DEFAULT_WIDTHS


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"schema": 2, "plain": {"near": 32, "far": 64}}',
        json.dumps({**FIELDS, "plain": {"near": 0, "far": 64}}),
        json.dumps({**FIELDS, "narrow": {"near": 1, "far": 99_999}}),
    ],
)
def test_a_damaged_file_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "search_widths.json").write_text(text)
    with pytest.raises(IntegrityError, match="remove it"):
        read_widths(tmp_path)
