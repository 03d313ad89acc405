"""What every servicer needs of a call: who waits, and the stream read ahead of the work."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import TypeVar

import grpc

from rsq_agent.embedding import Caller

T = TypeVar("T")
READ_AHEAD_ITEMS = 32  # of a stream, per call: bounds its memory
# A stream leases the model for one group at a time, so a long stream never holds up a swap.
GROUP_ITEMS = 16


def caller_of(context: grpc.ServicerContext) -> Caller:
    return Caller(context.is_active, context.time_remaining())


def read_in_groups(requests: Iterator[T]) -> Iterator[list[T]]:
    """The stream as groups of what has arrived, at least one item and at most `GROUP_ITEMS`.

    A client that waits for each reply before it sends the next is answered at once; one that sends
    without pause gets full batches.
    """
    arrived: queue.Queue[T | None] = queue.Queue(READ_AHEAD_ITEMS)
    failures: list[Exception] = []
    stop = threading.Event()

    def put(item: T | None) -> None:
        while not stop.is_set():
            try:
                arrived.put(item, timeout=0.2)
            except queue.Full:
                continue
            return

    def read() -> None:
        try:
            for request in requests:
                put(request)
                if stop.is_set():
                    return
        except Exception as e:  # noqa: BLE001 - raised again in the caller's thread
            failures.append(e)
        put(None)

    reader = threading.Thread(target=read, name="stream-reader", daemon=True)
    reader.start()
    try:
        ended = False
        while not ended:
            group: list[T] = []
            item = arrived.get()
            while item is not None:
                group.append(item)
                if len(group) == GROUP_ITEMS:
                    break
                try:
                    item = arrived.get_nowait()
                except queue.Empty:
                    break
            else:
                ended = True
            if group:
                yield group
        if failures:
            raise failures[0]
    finally:
        stop.set()
