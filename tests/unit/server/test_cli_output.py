"""Tables for people."""

from __future__ import annotations

import json
import re

import pytest

from rsq_server.cli.output import WIDEST_TABLE, print_json, print_table

STYLES = re.compile(r"\x1b\[[0-9;]*m")


def test_rows_are_never_folded_where_no_terminal_sets_a_width(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wide = "w" * (WIDEST_TABLE // 4)
    print_table([{"first": wide, "second": wide + "2"}])
    out = capsys.readouterr().out
    assert wide in out
    assert wide + "2" in out


def test_markup_in_a_cell_is_printed_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"[red]host": "[bold]x[/nope]"}])
    out = capsys.readouterr().out
    assert "[bold]x[/nope]" in out
    assert "[red]host" in out


def test_every_row_and_every_title_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"a": "1", "b": "2"}, {"a": "3", "b": "4"}])
    out = capsys.readouterr().out
    assert [out.count(cell) for cell in "ab1234"] == [1] * 6


def test_json_survives_any_text(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"x": "Zürich \udcff"}
    print_json(value)
    assert json.loads(capsys.readouterr().out) == value


@pytest.fixture
def narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "FORCE_COLOR": "1",
        "COLUMNS": "60",
        "NO_COLOR": "1",
        "TERM": "xterm",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("narrow_terminal")
def test_a_narrow_terminal_gets_every_cell_whole_in_tables_that_repeat_the_keys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    titles = [f"peak memory, batch {n}" for n in range(8)]
    rows = [
        {"tower": tower, **{title: f"{tower[0]}{n:09d}" for n, title in enumerate(titles)}}
        for tower in ("vision", "text")
    ]
    print_table(rows)
    out = STYLES.sub("", capsys.readouterr().out)
    assert max(len(line) for line in out.splitlines()) <= 60
    for row in rows:
        for title in titles:
            assert out.count(row[title]) == 1
    assert "\u2026" not in out
    assert out.count("vision") == out.count("text") == out.count("tower") > 1


@pytest.mark.usefixtures("narrow_terminal")
def test_a_cell_wider_than_the_terminal_is_folded_and_not_cut(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table([{"variant": "int8", "verdict": "x" * 100}])
    out = STYLES.sub("", capsys.readouterr().out)
    assert out.count("x") == 100
