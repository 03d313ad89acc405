"""A scene is whole once it was read to the end and all its tiles were answered for."""

from __future__ import annotations

from rsq.retrieval import Origin, Window
from rsq_agent.indexing.image_entry import ImageEntry
from rsq_agent.indexing.index_plan import Scene
from rsq_agent.indexing.scene_ledger import SceneLedger

WHOLE = [Origin("/a.tif", stamp="s")]


def scene(name: str = "/a.tif") -> Scene:
    return Scene(ImageEntry(name), ((Window(0, 0, 8, 8),),), "s", None)


def test_a_scene_is_whole_after_its_last_part_and_its_last_answer() -> None:
    ledger = SceneLedger()
    account = ledger.begin(scene(), 2)
    ledger.send(account)
    ledger.finish_part(account)
    ledger.answer(failed=False)
    assert ledger.take_whole() == []
    ledger.send(account)
    ledger.finish_part(account)
    assert ledger.take_whole() == []
    ledger.answer(failed=False)
    assert ledger.take_whole() == WHOLE
    assert ledger.take_whole() == []


def test_a_scene_whose_tiles_are_all_there_is_whole_at_once() -> None:
    ledger = SceneLedger()
    ledger.begin(scene(), 0)
    assert ledger.take_whole() == WHOLE


def test_a_failed_part_or_answer_keeps_the_scene_from_being_whole() -> None:
    ledger = SceneLedger()
    unread = ledger.begin(scene(), 1)
    ledger.finish_part(unread, failed=True)
    refused = ledger.begin(scene(), 1)
    ledger.send(refused)
    ledger.finish_part(refused)
    ledger.answer(failed=True)
    assert ledger.take_whole() == []


def test_answers_count_for_the_scenes_in_the_order_sent() -> None:
    ledger = SceneLedger()
    first, second = ledger.begin(scene("/a.tif"), 1), ledger.begin(scene("/b.tif"), 1)
    for account in (first, second):
        ledger.send(account)
        ledger.finish_part(account)
    ledger.answer(failed=True)
    ledger.answer(failed=False)
    assert ledger.take_whole() == [Origin("/b.tif", stamp="s")]


def test_pictures_have_no_older_tiles() -> None:
    ledger = SceneLedger()
    ledger.begin(scene("/a.jpg"), 0)
    assert ledger.take_whole() == []
