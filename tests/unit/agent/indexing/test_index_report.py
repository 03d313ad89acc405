"""Everything is counted once and told with its reason."""

from __future__ import annotations

import json
from pathlib import Path

from rsq.errors import Exhausted
from rsq_agent.indexing.image_entry import Skipped
from rsq_agent.indexing.index_report import IndexReport


def test_a_report_counts_and_gives_reasons(tmp_path: Path) -> None:
    report = IndexReport("naip")
    report.count(files=2, tiles=20, added=5, already=3)
    report.skip(Skipped("/a.tif", "BAD_IMAGE", "Damaged.", 4))
    report.skip_empty("/b.tif", 2)
    report.skip_empty("/b.tif", 6)
    report.note_without_footprint("/b.tif", "The raster has no CRS.")
    report.stopped = Exhausted("The disk is full.")
    assert report.done == 20
    report.write(tmp_path / "report.json")
    row = json.loads((tmp_path / "report.json").read_text())
    assert row["seconds"] >= 0
    assert row["per_second"] >= 0
    for key in ("seconds", "per_second"):
        del row[key]
    empty = "Tiles hold too few pixels with data."
    assert row == {
        "collection": "naip",
        "files": 2,
        "added": 5,
        "already": 3,
        "removed": 0,
        "skipped": [
            {"uri": "/a.tif", "code": "BAD_IMAGE", "message": "Damaged.", "tiles": 4},
            {"uri": "/b.tif", "code": "NO_DATA", "message": empty, "tiles": 8},
        ],
        "without_footprint": [{"uri": "/b.tif", "message": "The raster has no CRS."}],
        "stopped": {"code": "EXHAUSTED", "message": "The disk is full."},
    }
