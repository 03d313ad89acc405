"""What every servicer needs of a call: who waits, and a stream whose parts overlap."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

import grpc

from rsq_agent.inference.embedding import Caller
from rsq_agent.inference.slots import WouldWait

T = TypeVar("T")
R = TypeVar("R", covariant=True)
READ_AHEAD_ITEMS = 32  # of a stream, per call: bounds its memory
# A stream leases the model for one group at a time, so a long stream never holds up a swap.
GROUP_ITEMS = 16
LONGEST_SECONDS = 86_400.0  # a deadline beyond it is none
GROUPS_IN_FLIGHT = 2  # one runs while the next is decoded


class Pending(Protocol[R]):
    """A group that was started. Either method ends it."""

    def finish(self) -> R: ...

    def discard(self) -> None: ...


def caller_of(context: grpc.ServicerContext) -> Caller:
    remaining: float | None = context.time_remaining()
    # grpc tells of a call without a deadline by centuries, more than a lock can wait.
    if remaining is not None and remaining > LONGEST_SECONDS:
        remaining = None
    return Caller(context.is_active, remaining)


def overlap(requests: Iterator[T], start: Callable[[list[T]], Pending[R]]) -> Iterator[R]:
    """Starts the stream's items in groups of what has arrived, at most `GROUP_ITEMS`, and yields
    what each group finishes with, in order. The next group is started before the one ahead of it is
    waited for.

    A client that waits for each reply before it sends the next is answered at once; one that sends
    without pause gets full batches.
    """
    started: deque[Pending[R]] = deque()
    arrivals = _Arrivals(requests)
    try:
        while (group := arrivals.next_group(wait=not started)) is not None:
            if group:
                try:
                    pending = start(group)
                except WouldWait:  # perhaps for the groups ahead: a drain needs their end
                    while started:
                        yield started.popleft().finish()
                    pending = start(group)
                started.append(pending)
            if started and (not group or len(started) == GROUPS_IN_FLIGHT):
                yield started.popleft().finish()
        while started:
            yield started.popleft().finish()
        arrivals.raise_failure()
    finally:
        arrivals.stop()
        for pending in started:
            pending.discard()


class _Arrivals(Generic[T]):
    """A stream read ahead by a thread of its own."""

    def __init__(self, requests: Iterator[T]) -> None:
        self._requests = requests
        self._arrived: queue.Queue[T | None] = queue.Queue(READ_AHEAD_ITEMS)
        self._failures: list[Exception] = []
        self._stop = threading.Event()
        self._ended = False
        threading.Thread(target=self._read, name="stream-reader", daemon=True).start()

    def next_group(self, *, wait: bool) -> list[T] | None:
        """What has arrived, perhaps nothing unless `wait`; None after the last item."""
        group: list[T] = []
        while not self._ended and len(group) < GROUP_ITEMS:
            try:
                item = self._arrived.get(block=wait and not group)
            except queue.Empty:
                return group
            if item is None:
                self._ended = True
            else:
                group.append(item)
        return group or (None if self._ended else [])

    def raise_failure(self) -> None:
        """Raises what ended the stream, if anything did."""
        if self._failures:
            raise self._failures[0]

    def stop(self) -> None:
        self._stop.set()

    def _read(self) -> None:
        try:
            for request in self._requests:
                self._put(request)
                if self._stop.is_set():
                    return
        except Exception as e:  # noqa: BLE001 - raised again in the caller's thread
            self._failures.append(e)
        self._put(None)

    def _put(self, item: T | None) -> None:
        while not self._stop.is_set():
            try:
                self._arrived.put(item, timeout=0.2)
            except queue.Full:
                continue
            return
