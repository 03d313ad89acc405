"""The rows that were admitted to a tower and have not started."""

from __future__ import annotations

from collections import Counter, deque
from itertools import islice

from rsq_agent.inference.call import Call, Row


class WaitingRows:
    """Rows of calls that are due at some moment come first, the others after them; both in order
    of arrival. Its owner locks."""

    def __init__(self) -> None:
        self._due: deque[Row] = deque()
        self._others: deque[Row] = deque()
        self._promised: Counter[bool] = Counter()  # rows to come, by whether they will be due

    def __len__(self) -> int:
        """Rows that may start now."""
        return len(self._due) + len(self._others)

    @property
    def waiting(self) -> int:
        """Rows that may start now and those to come."""
        return len(self) + self._promised.total()

    def ahead_of(self, call: Call) -> int:
        """Rows that start before those of `call`, were it admitted now."""
        return len(self._due) + self._promised[True] if _is_due(call) else self.waiting

    def promise(self, call: Call) -> None:
        """Room for the rows of `call` that were not added yet."""
        self._promised[_is_due(call)] += call.promised

    def add(self, row: Row) -> None:
        """One that was promised."""
        row.call.promised -= 1
        self._promised[_is_due(row.call)] -= 1
        (self._due if _is_due(row.call) else self._others).append(row)

    def withdraw(self, call: Call) -> None:
        """Rows that were promised and will not come."""
        self._promised[_is_due(call)] -= call.promised
        call.promised = 0

    def take(self) -> Row:
        return (self._due or self._others).popleft()

    def first_due(self, count: int) -> float | None:
        """The earliest moment at which one of the next `count` rows is due; None if none is."""
        moments = [row.call.due for row in islice(self._due, count)]
        return min((moment for moment in moments if moment is not None), default=None)


def _is_due(call: Call) -> bool:
    return call.due is not None
