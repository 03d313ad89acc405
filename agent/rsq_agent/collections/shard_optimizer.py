"""Builds the graph of one closed shard: `python -m rsq_agent.collections.shard_optimizer FOLDER`.

A process of its own, because Qdrant Edge holds the interpreter lock for the whole build and would
silence the agent: health checks, embeddings and searches alike.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rsq_agent.collections.shard import Shard

# Serving goes before building.
_NICENESS = 10


def main(folder: str) -> None:
    os.nice(_NICENESS)
    shard = Shard.load(Path(folder))
    shard.optimize()
    shard.close()


if __name__ == "__main__":
    main(sys.argv[1])
