"""Progress in a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from rsq_server.cli.bars import BarProgress


def draw(console: Console) -> None:
    with BarProgress(console) as bars:
        bars.start_step(1, "Resolve the [source]")
        bars.advance(0, None, "bytes")
        bars.advance(500_000, 1_000_000, "bytes")
        bars.start_step(2, "Build")
        bars.advance(1, 6, "vision int8")


def interrupt_step(bars: BarProgress, done: int, total: int | None, detail: str) -> None:
    with bars:
        bars.start_step(1, "Step")
        bars.advance(done, total, detail)
        raise KeyboardInterrupt


def terminal() -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, force_terminal=True, width=100, color_system=None), stream


def test_every_step_stays_on_the_screen_in_order_and_as_written() -> None:
    console, stream = terminal()
    draw(console)
    last_frame = stream.getvalue().rsplit("1. Resolve", 1)[1]
    assert last_frame.startswith(" the [source]")
    assert "2. Build" in last_frame


@pytest.mark.parametrize(
    ("done", "total", "detail", "words"),
    [
        (500_000, 1_000_000, "bytes", "500 kB of 1 MB"),
        (500_000, None, "bytes", "500 kB"),
        (1, 6, "vision int8", "1 of 6 vision int8"),
        (3, None, "images", "3 images"),
        (1, 2, "", "1 of 2"),
    ],
)
def test_the_running_step_says_how_far_it_is(
    done: int, total: int | None, detail: str, words: str
) -> None:
    console, stream = terminal()
    with pytest.raises(KeyboardInterrupt):
        interrupt_step(BarProgress(console), done, total, detail)
    assert words in stream.getvalue()  # an interrupted step keeps what it reached
