"""Which scenes of a run are stored as a whole: read to the end, and every tile answered for."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from rsq.retrieval import Origin
from rsq_agent.indexing.index_plan import Scene


@dataclass
class Account:
    """What is still open of one scene."""

    scene: Scene
    unread: int  # parts
    unanswered: int = 0  # items on their way
    failed: bool = False


class SceneLedger:
    """Used by the thread that sends and by the one that takes answers."""

    def __init__(self) -> None:
        self._sent: deque[Account] = deque()  # one an item, in the order of the answers
        self._whole: list[Origin] = []
        self._lock = threading.Lock()

    def begin(self, scene: Scene, parts: int) -> Account:
        account = Account(scene, parts)
        with self._lock:
            self._close(account)
        return account

    def send(self, account: Account) -> None:
        """Before the item goes: its answer may come at once."""
        with self._lock:
            self._sent.append(account)
            account.unanswered += 1

    def finish_part(self, account: Account, *, failed: bool = False) -> None:
        with self._lock:
            account.unread -= 1
            account.failed |= failed
            self._close(account)

    def answer(self, *, failed: bool) -> None:
        """The next answer, in the order of `send`."""
        with self._lock:
            account = self._sent.popleft()
            account.unanswered -= 1
            account.failed |= failed
            self._close(account)

    @property
    def whole(self) -> int:
        """How many scenes `take_whole` would give."""
        return len(self._whole)

    def take_whole(self) -> list[Origin]:
        """uri and stamp of scenes that are stored as a whole now, each once, of those that may have
        older tiles."""
        with self._lock:
            whole, self._whole = self._whole, []
        return whole

    def _close(self, account: Account) -> None:
        scene = account.scene
        if account.unread or account.unanswered or account.failed:
            return
        if scene.may_have_older_tiles:
            self._whole.append(Origin(scene.entry.uri, stamp=scene.stamp))
