"""Progress without a terminal."""

from __future__ import annotations

import io

import pytest

from rsq_server.cli.progress import LineProgress, show_progress


def test_each_step_is_one_line_and_units_print_nothing() -> None:
    stream = io.StringIO()
    progress = LineProgress(stream)
    progress.start_step(1, "Resolve the source")
    for done in range(100):
        progress.advance(done, 100, "bytes")
    progress.start_step(2, "Load the weights")
    first, second = stream.getvalue().splitlines()
    assert first.startswith("Step 1: Resolve the source (")
    assert second.startswith("Step 2: Load the weights (")


def test_without_a_terminal_lines_go_to_stderr_only(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress() as progress:
        progress.start_step(3, "Export the towers")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Step 3: Export the towers")
