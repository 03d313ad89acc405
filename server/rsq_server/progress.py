"""What a long procedure tells whoever watches it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the steps of a procedure; calls come from one thread, in order."""

    def start_step(self, number: int, title: str) -> None:
        """Step `number`, counted from 1, begins."""
        ...

    def advance(self, done: int, total: int | None, detail: str) -> None:
        """`done` of `total` units of the running step are complete; the total may be unknown.
        `detail` names what is being worked on, or is empty."""
        ...


class SilentProgress:
    """Tells nobody."""

    def start_step(self, number: int, title: str) -> None:
        """Nothing."""

    def advance(self, done: int, total: int | None, detail: str) -> None:
        """Nothing."""
