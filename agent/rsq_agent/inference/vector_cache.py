"""Vectors of texts that were embedded before: users search for the same words again and again."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

# Some ten thousand texts at 768 values: more than a node's users type in a day.
MAX_BYTES = 32 << 20
# What an entry takes beside the text and the values: about 220 by tracemalloc on CPython 3.11.
ENTRY_BYTES = 256


class VectorCache:
    """The texts used last, bounded in bytes. For one artifact: it ends with it."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._rows: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, text: str) -> NDArray[np.float32] | None:
        """float32 [dim], or None. Not to be written to."""
        with self._lock:
            row = self._rows.get(text)
            if row is not None:
                self._rows.move_to_end(text)
            return row

    def put(self, text: str, row: NDArray[np.float32]) -> None:
        size_bytes = _size(text, row)
        if size_bytes > self._max_bytes // 16:  # one long text must not empty the cache
            return
        with self._lock:
            if text in self._rows:
                return
            # A copy: the row may be a view that keeps a whole batch in memory.
            self._rows[text] = row.copy()
            self._bytes += size_bytes
            while self._bytes > self._max_bytes:
                oldest, dropped = self._rows.popitem(last=False)
                self._bytes -= _size(oldest, dropped)


def _size(text: str, row: NDArray[np.float32]) -> int:
    return len(text.encode(errors="surrogatepass")) + row.nbytes + ENTRY_BYTES
