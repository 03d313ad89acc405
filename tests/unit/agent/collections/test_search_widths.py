from __future__ import annotations

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

WIDTHS = SearchWidths(plain=WidthPair(32, 192), filtered=WidthPair(64, 384))


def test_widths_survive_the_disk(tmp_path: Path) -> None:
    write_widths(tmp_path, WIDTHS)
    assert read_widths(tmp_path) == WIDTHS


def test_a_shard_that_was_never_measured_has_the_defaults(tmp_path: Path) -> None:
    assert read_widths(tmp_path) == DEFAULT_WIDTHS


def test_what_a_newer_release_measured_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "search_widths.json").write_text('{"schema": 2}')
    assert read_widths(tmp_path) == DEFAULT_WIDTHS


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"schema": 1, "plain": {"near": 32, "far": 64}}',
        '{"schema": 1, "plain": {"near": 0, "far": 64}, "filtered": {"near": 1, "far": 1}}',
        '{"schema": 1, "plain": {"near": 1, "far": 99999}, "filtered": {"near": 1, "far": 1}}',
    ],
)
def test_a_damaged_file_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "search_widths.json").write_text(text)
    with pytest.raises(IntegrityError, match="remove it"):
        read_widths(tmp_path)
