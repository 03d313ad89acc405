"""Paths of all kinds together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from image_sets import make_png

from rsq.errors import BadInput
from rsq_agent.indexing.image_entry import ImageEntry
from rsq_agent.indexing.index_sources import find_entries


def test_what_a_list_knows_of_an_image_goes_before_its_folder(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(make_png(1))
    listed = tmp_path / "list.jsonl"
    listed.write_text(json.dumps({"uri": "b.png", "tags": ["known"]}))
    assert list(find_entries([tmp_path, listed])) == [
        ImageEntry(str(tmp_path / "b.png"), tags=("known",)),
        ImageEntry(str(tmp_path / "a.png")),
    ]


def test_a_list_alone_brings_no_folder_with_it(tmp_path: Path) -> None:
    listed = tmp_path / "list.ndjson"
    listed.write_text('{"uri": "b.png"}')
    assert [entry.uri for entry in find_entries([listed])] == [str(tmp_path / "b.png")]


def test_a_folder_may_be_called_like_a_list(tmp_path: Path) -> None:
    (tmp_path / "tiles.json").mkdir()
    (tmp_path / "tiles.json" / "a.png").write_bytes(make_png(1))
    assert len(list(find_entries([tmp_path / "tiles.json"]))) == 1


@pytest.mark.parametrize("name", ["gone.jsonl", "gone.json", "gone.parquet", "gone.png", "gone"])
def test_a_missing_path_is_refused_before_the_first_entry(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="gone"):
        find_entries([tmp_path, tmp_path / name])
