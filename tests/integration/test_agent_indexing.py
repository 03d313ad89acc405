"""Scenes into a running agent: where their tiles land, and what later runs change."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from raster_files import gradient, write_raster
from rasterio.warp import transform
from tiny_artifacts import build_artifact
from tiny_node import stock

from rsq.client import Client
from rsq.errors import Exhausted
from rsq.retrieval import Origin, SearchFilter, SearchHit
from rsq_agent.app import Agent
from rsq_agent.cache import Cache
from rsq_agent.collections import shard_builder as builder_module
from rsq_agent.config import AgentConfig
from rsq_agent.indexing.index_plan import IndexSettings
from rsq_agent.indexing.index_report import IndexReport
from rsq_agent.indexing.index_run import index_entries
from rsq_agent.indexing.index_sources import find_entries
from rsq_agent.indexing.tiles import Tiling
from rsq_agent.state import NodeState, save_state

METRES_A_DEGREE = 111_320
NAIP = ("20100629", "20180716", "20200831")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Of a running agent with tiny artifacts."""
    folder = tmp_path_factory.mktemp("agent")
    cache = Cache(folder / "home")
    artifacts = [build_artifact(folder / "v", "vision"), build_artifact(folder / "t", "text")]
    save_state(cache, NodeState().activate(stock(cache, artifacts)))
    config = AgentConfig(home=cache.home, threads=1, server="127.0.0.1:1", listen="127.0.0.1:0")
    with Agent(config) as agent:
        agent.load(None)
        with Client(agent.address) as client:
            yield client


def add(
    client: Client, path: Path, collection: str, settings: IndexSettings | None = None
) -> IndexReport:
    report = IndexReport(collection)
    for _ in index_entries(client, find_entries([path]), settings or IndexSettings(), report):
        pass
    return report


def count(client: Client, collection: str) -> int:
    return next(row.points for row in client.collections() if row.name == collection)


@pytest.fixture(scope="module")
def naip(client: Client, rsq_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The three scenes, indexed as `naip`."""
    folder = tmp_path_factory.mktemp("naip")
    for date in NAIP:
        name = f"opengeos_naip_m_4709963_se_14_1_{date}.tif"
        (folder / name).symlink_to(rsq_data / "geotiff" / name)
    report = add(client, folder, "naip")
    assert (report.files, report.added, report.skipped) == (3, 36, [])
    return sorted(folder.iterdir())


def all_hits(client: Client, collection: str) -> list[SearchHit]:
    return client.search(text="river", k=1000, collection=collection)


def test_tiles_land_within_a_metre_of_where_rasterio_puts_them(
    client: Client, naip: list[Path]
) -> None:
    hits = all_hits(client, "naip")
    assert len(hits) == 36
    for hit in hits:
        window = hit.payload.window
        assert window is not None
        right, bottom = window.x + window.width, window.y + window.height
        with rasterio.open(hit.uri) as scene:
            xs, ys = zip(
                *(
                    scene.transform @ corner
                    for corner in (
                        (window.x, window.y),
                        (right, window.y),
                        (right, bottom),
                        (window.x, bottom),
                    )
                ),
                strict=True,
            )
            expected = zip(*transform(scene.crs, "EPSG:4326", xs, ys), strict=True)
        for (x, y), (longitude, latitude) in zip(hit.payload.footprint, expected, strict=True):
            east = (x - longitude) * METRES_A_DEGREE * math.cos(math.radians(latitude))
            assert math.hypot(east, (y - latitude) * METRES_A_DEGREE) < 1


def test_dates_are_told_apart(client: Client, naip: list[Path]) -> None:
    year = SearchFilter(since="2018-01-01T00:00:00Z", until="2019-01-01T00:00:00Z")
    hits = client.search(text="river", k=1000, collection="naip", filter=year)
    assert [hit.uri for hit in hits] == [str(naip[1])] * 12
    found = {(hit.uri, hit.payload.datetime) for hit in all_hits(client, "naip")}
    expected = {
        (str(path), f"{date[:4]}-{date[4:6]}-{date[6:]}T00:00:00Z")
        for path, date in zip(naip, NAIP, strict=True)
    }
    assert found == expected


def test_scenes_indexed_again_change_nothing(client: Client, naip: list[Path]) -> None:
    report = add(client, naip[0].parent, "naip")
    assert (report.added, report.already, report.removed) == (0, 36, 0)


def test_tiles_that_a_changed_scene_no_longer_has_are_removed(
    client: Client, tmp_path: Path
) -> None:
    settings = IndexSettings(tiling=Tiling(32))
    kept = write_raster(tmp_path / "kept.tif", gradient(64, 64))
    path = write_raster(tmp_path / "scene.tif", gradient(128, 128))
    add(client, tmp_path, "changing", settings)
    assert count(client, "changing") == 20
    write_raster(path, gradient(64, 32))
    report = add(client, tmp_path, "changing", settings)
    assert (report.added, report.already, report.removed) == (2, 4, 14)
    assert count(client, "changing") == 6
    assert {hit.uri for hit in all_hits(client, "changing")} == {str(path), str(kept)}
    assert client.delete_outdated([Origin(str(kept), stamp="other")], collection="changing") == 4


def test_a_full_disk_stops_the_run_and_keeps_what_was_answered(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = IndexSettings(tiling=Tiling(32))
    write_raster(tmp_path / "a.tif", gradient(64, 64))
    add(client, tmp_path, "full", settings)
    write_raster(tmp_path / "b.tif", gradient(64, 64))
    with monkeypatch.context() as patch:
        patch.setattr(builder_module, "_RESERVE_BYTES", 1 << 60)
        with pytest.raises(Exhausted, match="too little"):
            add(client, tmp_path, "full", settings)
    assert count(client, "full") == 4
    assert len(all_hits(client, "full")) == 4
    report = add(client, tmp_path, "full", settings)
    assert (report.added, report.already) == (4, 4)


def test_rasters_that_say_nothing_are_left_out(client: Client, tmp_path: Path) -> None:
    write_raster(tmp_path / "empty.tif", np.zeros((1, 64, 64), np.uint8), nodata=0)
    (tmp_path / "damaged.tif").write_bytes(b"II*\0\x08\0\0\0")
    write_raster(tmp_path / "rotated.tif", gradient(64, 64), crs=None)
    report = add(client, tmp_path, "odd")
    assert report.added == 1
    assert {(Path(row.uri).name, row.code) for row in report.skipped} == {
        ("empty.tif", "NO_DATA"),
        ("damaged.tif", "BAD_IMAGE"),
    }


def command(client: Client, *arguments: str | Path) -> list[str]:
    program = Path(sys.executable).parent / "rsq-agent"
    return [str(part) for part in (program, "index", *arguments, "--agent", client.target)]


def test_the_command_reports_what_it_did_and_fails_when_nothing_was_added(
    client: Client, tmp_path: Path
) -> None:
    write_raster(tmp_path / "good.tif", gradient(64, 64))
    (tmp_path / "bad.png").write_bytes(b"bad")
    collection = ("--collection", "command")
    file = tmp_path / "report.json"
    done = subprocess.run(
        command(client, "add", tmp_path, *collection, "--tile", "32", "--report", file, "--json"),
        capture_output=True,
        check=True,
    )
    report = json.loads(done.stdout)
    assert (report["added"], report["stopped"]) == (4, None)
    assert [Path(row["uri"]).name for row in report["skipped"]] == ["bad.png"]
    assert json.loads(file.read_text())["added"] == 4
    failed = subprocess.run(
        command(client, "add", tmp_path / "bad.png", *collection), capture_output=True, check=False
    )
    assert failed.returncode == 2
    assert b"Nothing was added" in failed.stderr


@pytest.mark.timeout(120)
def test_a_watch_indexes_what_arrives_and_ends_on_sigterm(client: Client, tmp_path: Path) -> None:
    write_raster(tmp_path / "old.tif", gradient(64, 64))
    arguments = command(client, "watch", tmp_path, "--every", "0.1s", "--collection", "watched")
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "added 1 vectors" in process.stderr.readline()
        write_raster(tmp_path / "new.tif", gradient(64, 64))
        assert "added 1 vectors" in process.stderr.readline()
        process.terminate()
        assert process.wait() == 0
    assert count(client, "watched") == 2
