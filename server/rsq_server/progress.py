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


class ByteProgress:
    """Passes progress on, and counts bytes of a file while it is on its way."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._done = 0
        self._total: int | None = None

    def start_step(self, number: int, title: str) -> None:
        self._progress.start_step(number, title)

    def advance(self, done: int, total: int | None, detail: str) -> None:
        self._done, self._total = done, total
        self._progress.advance(done, total, detail)

    def add_bytes(self, count: int) -> None:
        """`count` more since `advance` last spoke; below zero where some are lost again."""
        self._done += count
        shown = self._done if self._total is None else min(self._done, self._total)
        self._progress.advance(shown, self._total, "bytes")
