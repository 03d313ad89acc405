from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from rsq.errors import EnvironmentFault
from rsq.retrieval import BoundingBox, Payload, SearchHit, Window
from rsq_agent.cli.search_output import SearchOutput, give_hits


@pytest.fixture
def hits(tmp_path: Path) -> list[SearchHit]:
    path = tmp_path / "scene.png"
    Image.new("RGB", (64, 64), (10, 120, 60)).save(path)
    payload = Payload(Window(0, 0, 32, 32), BoundingBox(4, 51, 5, 52), "2024-05-01T10:30:00Z")
    return [
        SearchHit(0.3125, 0.75, str(path), payload, "a" * 64),
        SearchHit(0.25, 0.5, "/gone/[b]x[/b].png", Payload(), "a" * 64),
    ]


def give(hits: list[SearchHit], output: SearchOutput) -> None:
    give_hits(hits, output, query="port", collection="harbours")


def test_the_table_has_scores_uri_window_and_time(
    hits: list[SearchHit], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    give(hits, SearchOutput())
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if hits[0].uri in line)
    for told in ("0.3125", "0.7500", "32x32+0+0", "2024-05-01T10:30:00Z"):
        assert told in row
    assert "[b]x[/b]" in out  # a name is no markup


def test_on_a_narrow_console_window_and_time_stand_below_the_name(
    hits: list[SearchHit], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    give(hits, SearchOutput())
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert any("32x32+0+0 2024-05-01T10:30:00Z" in line for line in lines)


def test_columns_that_no_hit_fills_are_left_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    give([SearchHit(0.25, 0.0, "/a.png", Payload(), "a" * 64)], SearchOutput())
    out = capsys.readouterr().out
    for column in ("probability", "window", "time"):
        assert column not in out


def test_files_are_written_and_named(
    hits: list[SearchHit], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet, page, geojson = (tmp_path / f"hits.{kind}" for kind in ("png", "html", "geojson"))
    give(hits, SearchOutput(sheet, page, geojson))
    with Image.open(sheet) as image:
        assert image.format == "PNG"
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert len(json.loads(geojson.read_text("utf-8"))["features"]) == 2
    out = capsys.readouterr().out
    assert all(str(path) in out for path in (sheet, page, geojson))


def test_json_is_all_that_is_printed_and_files_are_written_all_the_same(
    hits: list[SearchHit], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    give(hits, SearchOutput(geojson=tmp_path / "hits.geojson", as_json=True))
    first, second = json.loads(capsys.readouterr().out)["hits"]
    assert first["score"] == 0.3125
    assert first["probability"] == 0.75
    assert first["payload"]["window"] == {"x": 0, "y": 0, "width": 32, "height": 32}
    assert second["payload"] == {}
    assert (tmp_path / "hits.geojson").is_file()


def test_a_folder_that_is_not_there_is_a_clear_error(hits: list[SearchHit], tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="can't be written"):
        give(hits, SearchOutput(html=tmp_path / "none" / "hits.html"))


def test_no_hits_are_said_and_still_make_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    give([], SearchOutput(html=tmp_path / "hits.html"))
    assert "No hits" in capsys.readouterr().out
    assert (tmp_path / "hits.html").is_file()
