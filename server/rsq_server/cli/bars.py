"""Publishing's progress as bars in a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from rsq.units import format_size


class BarProgress:
    """One bar a step. A finished step's bar stays, full, with the time that it took."""

    def __init__(self, console: Console | None = None) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            console=console or Console(stderr=True),
        )
        self._running: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._finish_step()
        self._progress.stop()

    def start_step(self, number: int, title: str) -> None:
        self._finish_step()
        self._running = self._progress.add_task(f"{number}. {title}", total=None, detail="")

    def advance(self, done: int, total: int | None, detail: str) -> None:
        assert self._running is not None
        self._progress.update(
            self._running, completed=done, total=total, detail=_describe(done, total, detail)
        )

    def _finish_step(self) -> None:
        if self._running is not None:
            self._progress.update(self._running, total=1, completed=1, detail="")
            self._progress.stop_task(self._running)


def _describe(done: int, total: int | None, detail: str) -> str:
    if detail == "bytes":
        return format_size(done) + ("" if total is None else f" of {format_size(total)}")
    return f"{done} of {total} {detail}".rstrip() if total is not None else f"{done} {detail}"
