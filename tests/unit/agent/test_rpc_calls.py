"""rsq_agent.rpc.calls: how the parts of a stream overlap."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

import pytest

from rsq.errors import BadInput
from rsq_agent.rpc.calls import GROUP_ITEMS, overlap


class Work:
    """Groups of numbers; remembers what was started, finished and discarded, in order."""

    def __init__(self) -> None:
        self.log: list[tuple[str, list[int]]] = []

    def start(self, group: list[int]) -> Part:
        self.log.append(("start", group))
        return Part(self, group)


class Part:
    def __init__(self, work: Work, group: list[int]) -> None:
        self._work = work
        self._group = group

    def finish(self) -> list[int]:
        self._work.log.append(("finish", self._group))
        return [-number for number in self._group]

    def discard(self) -> None:
        self._work.log.append(("discard", self._group))


@pytest.fixture
def work() -> Work:
    return Work()


def _arrived(count: int) -> Iterator[int]:
    """A stream whose items were all there when the first was asked for."""
    return iter(range(count))


def test_everything_comes_back_in_order(work: Work) -> None:
    count = 5 * GROUP_ITEMS + 3
    replies = [reply for group in overlap(_arrived(count), work.start) for reply in group]
    assert replies == [-number for number in range(count)]
    assert max(len(group) for _, group in work.log) <= GROUP_ITEMS


def test_an_empty_stream_has_no_replies(work: Work) -> None:
    assert list(overlap(iter([]), work.start)) == []
    assert work.log == []


def test_the_next_group_starts_before_the_one_ahead_is_waited_for(work: Work) -> None:
    started = threading.Semaphore(0)

    def stream() -> Iterator[int]:
        yield 0
        assert started.acquire(timeout=20)  # one group is under way
        yield from range(1, 2 * GROUP_ITEMS)

    def start(group: list[int]) -> Part:
        started.release()
        if group[0] == 0:
            time.sleep(0.2)  # its decoding; the rest arrives meanwhile
        return work.start(group)

    replies = overlap(stream(), start)
    assert next(replies) == [0]
    assert [kind for kind, _ in work.log] == ["start", "start", "finish"]
    assert sum(len(group) for group in replies) == 2 * GROUP_ITEMS - 1


def test_a_client_that_waits_for_each_reply_is_answered_at_once(work: Work) -> None:
    sent: queue.Queue[int | None] = queue.Queue()
    sent.put(0)
    received = 0
    for group in overlap(iter(sent.get, None), work.start):
        received += len(group)
        sent.put(received if received < 20 else None)
    assert received == 20


def test_what_was_started_is_answered_before_the_streams_failure_is_raised(work: Work) -> None:
    def stream() -> Iterator[int]:
        yield from range(3)
        raise BadInput("the client went mad")

    received: list[int] = []

    def receive() -> None:
        for group in overlap(stream(), work.start):
            received.extend(group)

    with pytest.raises(BadInput, match="went mad"):
        receive()
    assert received == [0, -1, -2]


def test_what_nobody_reads_any_more_is_discarded(work: Work) -> None:
    replies = overlap(_arrived(20 * GROUP_ITEMS), work.start)
    next(replies)
    replies.close()
    started = [group for kind, group in work.log if kind == "start"]
    ended = [group for kind, group in work.log if kind in {"finish", "discard"}]
    assert sorted(ended) == sorted(started)


def test_a_group_that_cannot_start_discards_the_one_ahead(work: Work) -> None:
    def start(group: list[int]) -> Part:
        if group[0] > 0:
            raise BadInput("no")
        return work.start(group)

    with pytest.raises(BadInput, match="no"):
        list(overlap(_arrived(20 * GROUP_ITEMS), start))
    started = [group for kind, group in work.log if kind == "start"]
    ended = [group for kind, group in work.log if kind in {"finish", "discard"}]
    assert ended == started
