"""New files are indexed once they have settled, and once only."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from fake_collection import FakeCollection
from image_sets import make_png

from rsq.errors import Unreachable
from rsq_agent.indexing.folder_watch import FolderWatch
from rsq_agent.indexing.image_entry import ImageEntry
from rsq_agent.indexing.index_plan import IndexSettings
from rsq_agent.indexing.index_report import IndexReport
from rsq_agent.indexing.index_run import index_entries


class Indexing:
    """Counts what a watch asks for."""

    def __init__(self) -> None:
        self.collection = FakeCollection()
        self.asked: list[list[str]] = []

    def __call__(self, entries: list[ImageEntry]) -> IndexReport:
        self.asked.append([Path(entry.uri).name for entry in entries])
        report = IndexReport("default")
        for _ in index_entries(self.collection, entries, IndexSettings(), report):
            pass
        return report


@pytest.fixture
def indexing() -> Indexing:
    return Indexing()


@pytest.fixture
def watch(indexing: Indexing, tmp_path: Path) -> FolderWatch:
    return FolderWatch([tmp_path], seconds=0.01, index=indexing)


def test_a_file_is_indexed_when_it_stopped_growing(
    watch: FolderWatch, indexing: Indexing, tmp_path: Path
) -> None:
    data = make_png(1)
    path = tmp_path / "a.png"
    for end in (10, 20, len(data)):
        path.write_bytes(data[:end])
        assert watch.look() is None
    assert watch.look() is not None
    assert watch.look() is None
    assert indexing.asked == [["a.png"]]
    assert [item.image for item in indexing.collection.received] == [data]


def test_a_changed_file_is_indexed_again_and_a_bad_one_only_when_it_changes(
    watch: FolderWatch, indexing: Indexing, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(make_png(1))
    (tmp_path / "bad.png").write_bytes(b"bad")
    for _ in range(4):
        watch.look()
    assert indexing.asked == [["a.png", "bad.png"]]
    (tmp_path / "bad.png").write_bytes(make_png(3))
    for _ in range(4):
        watch.look()
    assert indexing.asked == [["a.png", "bad.png"], ["bad.png"]]
    assert len(indexing.collection.items) == 2


def test_a_new_watch_sends_nothing_twice(
    watch: FolderWatch, indexing: Indexing, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(make_png(1))
    for one in (watch, FolderWatch([tmp_path], seconds=0.01, index=indexing)):
        one.look()
        one.look()
    assert len(indexing.asked) == 2
    assert len(indexing.collection.received) == 1


@pytest.mark.timeout(20)
def test_a_watch_outlives_an_agent_that_is_away(
    watch: FolderWatch, indexing: Indexing, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(make_png(1))
    indexing.collection.unreachable = Unreachable("Nobody answers.")
    stop = threading.Event()
    indexing.collection.on_item = lambda item: stop.set()
    thread = threading.Thread(target=watch.run, args=(stop,))
    thread.start()
    while len(indexing.asked) < 2:
        stop.wait(0.01)
    indexing.collection.unreachable = None
    thread.join()
    assert len(indexing.collection.received) == 1
