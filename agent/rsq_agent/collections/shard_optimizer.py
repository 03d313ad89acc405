"""Builds the graph of one closed shard and measures how wide it has to be searched:
`python -m rsq_agent.collections.shard_optimizer FOLDER`.

A process of its own, because Qdrant Edge holds the interpreter lock for the whole build and would
silence the agent: health checks, embeddings and searches alike.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

from rsq_agent.collections.search_widths import write_widths
from rsq_agent.collections.shard import EXACT_POINTS, Shard
from rsq_agent.collections.width_tuning import tune_widths

# Serving goes before building.
_NICENESS = 10
_PR_SET_PDEATHSIG = 1  # of Linux's prctl(2)


def main(folder: str) -> None:
    _end_with_parent()
    os.nice(_NICENESS)
    shard = Shard.load(Path(folder))
    shard.optimize()
    if shard.count() >= EXACT_POINTS:  # else no search uses the graph
        write_widths(Path(folder), tune_widths(shard))
    shard.close()


def _end_with_parent() -> None:
    """Nobody would use what is built once the agent has gone, however it went."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
