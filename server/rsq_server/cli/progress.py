"""How far publishing has come, on stderr: bars in a terminal, else one line a step."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rsq.units import format_seconds
from rsq_server.progress import Progress


class LineProgress:
    """One line a step, with the seconds since the start, for logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._started = time.monotonic()

    def start_step(self, number: int, title: str) -> None:
        elapsed = format_seconds(time.monotonic() - self._started)
        print(f"Step {number}: {title} ({elapsed})", file=self._stream, flush=True)

    def advance(self, done: int, total: int | None, detail: str) -> None:
        """Nothing: a line for each unit would drown the log."""


@contextmanager
def show_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """One bar on stderr for the length of the block, in a terminal; it takes done and total."""
    from rich.console import Console
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    with Bars(console=console, disable=not console.is_terminal, transient=True) as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def show_progress() -> Iterator[Progress]:
    """The progress that fits stderr, drawn for the length of the block."""
    if not sys.stderr.isatty():
        yield LineProgress(sys.stderr)
        return
    from rsq_server.cli.bars import BarProgress

    with BarProgress() as bars:
        yield bars
