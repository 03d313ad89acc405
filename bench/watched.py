"""Runs a command to its end and states its time and the peak memory of all its processes."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLE_SECONDS = 0.1


@dataclass(frozen=True)
class Watched:
    out: str
    seconds: float
    peak_resident_bytes: int


def run_watched(command: Sequence[str | Path], environment: Mapping[str, str]) -> Watched:
    """Raises RuntimeError with what `command` wrote when it fails."""
    # Files, because a pipe that nobody reads while sampling would fill and block the command.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=err, text=True)
        peak_bytes = 0
        try:
            while process.poll() is None:
                peak_bytes = max(peak_bytes, _resident_bytes(process.pid))
                time.sleep(SAMPLE_SECONDS)
        finally:
            process.kill()
            process.wait()
        seconds = time.perf_counter() - started
        out.seek(0)
        err.seek(0)
        written = out.read()
        if process.returncode != 0:
            raise RuntimeError(
                f"{command} ended with {process.returncode}:\n{err.read()[-4000:]}{written}"
            )
    return Watched(written, seconds, peak_bytes)


def _resident_bytes(pid: int) -> int:
    """Of the process and its children; shared pages count once each, so it errs upwards."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            total += process.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total
