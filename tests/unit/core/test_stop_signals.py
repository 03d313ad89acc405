"""A signal stops a program whatever its main thread is doing."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

# The handler runs while the main thread holds the event's own lock, as it does on its way into
# `wait`: the moment that a signal hits once in thousands of times.
PROGRAM = """
import os, signal, sys
from rsq.stop_signals import stop_on_signals
stop = stop_on_signals()
with stop._cond:
    os.kill(os.getpid(), int(sys.argv[1]))
    for _ in range(1000):
        pass
print("stopped" if stop.wait(20) else "hangs")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_worst_moment_stops_the_program(number: signal.Signals) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(int(number))],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("stopped\n", 0), done.stderr
