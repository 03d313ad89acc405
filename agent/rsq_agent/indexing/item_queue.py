"""Items between the threads that read images and the stream that sends them, bounded by bytes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from rsq.retrieval import IndexItem


class ItemQueue:
    """Holds at most `limit_bytes` of images, or one that is larger."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._items: deque[IndexItem] = deque()
        self._size_bytes = 0
        self._ended = False
        self._stopped = False
        self._changed = threading.Condition()

    def put(self, item: IndexItem) -> bool:
        """Waits for room; False once nobody takes items any more."""
        size_bytes = len(item.image)
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._stopped
                    or not self._items
                    or self._size_bytes + size_bytes <= self._limit_bytes
                )
            )
            if self._stopped:
                return False
            self._items.append(item)
            self._size_bytes += size_bytes
            self._changed.notify_all()
        return True

    def end(self) -> None:
        """No more items come; those inside are still taken."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Lets go of whoever waits at either side, and of the items."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[IndexItem]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._ended or self._stopped)
                if not self._items:
                    return
                item = self._items.popleft()
                self._size_bytes -= len(item.image)
                self._changed.notify_all()
            yield item
