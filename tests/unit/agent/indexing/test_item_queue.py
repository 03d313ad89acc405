"""Bounded by bytes, and nobody waits for ever."""

from __future__ import annotations

import threading

import pytest

from rsq.retrieval import IndexItem
from rsq_agent.indexing.item_queue import ItemQueue


def item(size_bytes: int, name: str = "a") -> IndexItem:
    return IndexItem(name, bytes(size_bytes))


def test_items_come_out_in_order_and_then_the_end() -> None:
    queue = ItemQueue(100)
    for name in "abc":
        assert queue.put(item(1, name))
    queue.end()
    assert [one.uri for one in queue] == ["a", "b", "c"]


@pytest.mark.timeout(20)
def test_whoever_fills_it_waits_for_room() -> None:
    queue = ItemQueue(100)
    assert queue.put(item(60))
    put = threading.Event()

    def fill() -> None:
        queue.put(item(60, "b"))
        put.set()

    thread = threading.Thread(target=fill)
    thread.start()
    assert not put.wait(0.05)
    items = iter(queue)
    next(items)
    assert put.wait(10)
    thread.join()
    assert next(items).uri == "b"


def test_an_item_larger_than_the_bound_passes_alone() -> None:
    queue = ItemQueue(10)
    assert queue.put(item(1000))


@pytest.mark.timeout(20)
def test_stopping_lets_go_of_both_sides() -> None:
    queue = ItemQueue(10)
    queue.put(item(10))
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(queue.put(item(10))))
    thread.start()
    queue.stop()
    thread.join()
    assert results == [False]
    assert list(queue) == []
