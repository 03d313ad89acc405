"""Looked-up tokens, remembered for a moment: every call is authenticated, and a store may be a
database elsewhere."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from rsq.tokens import StoredToken

SECONDS = 5.0  # until a revocation is felt
MAX_TOKENS = 1024
MAX_UNKNOWN = 1024  # ids that nobody has; a bound of their own, so that guesses evict no token


class TokenCache:
    """`find` answers from the cache, else asks `look_up`. Safe for threads."""

    def __init__(
        self,
        look_up: Callable[[str], StoredToken | None],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look_up = look_up
        self._now = now
        self._known: OrderedDict[str, tuple[float, StoredToken]] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, token_id: str) -> StoredToken | None:
        now = self._now()
        with self._lock:
            known = self._known.get(token_id)
            if known is not None and now - known[0] < SECONDS:
                return known[1]
            if now - self._unknown.get(token_id, -SECONDS) < SECONDS:
                return None
        found = self._look_up(token_id)
        with self._lock:
            self._known.pop(token_id, None)
            self._unknown.pop(token_id, None)
            if found is None:
                self._unknown[token_id] = now
                _bound(self._unknown, MAX_UNKNOWN)
            else:
                self._known[token_id] = (now, found)
                _bound(self._known, MAX_TOKENS)
        return found


def _bound(entries: OrderedDict[str, Any], most: int) -> None:
    while len(entries) > most:
        entries.popitem(last=False)
