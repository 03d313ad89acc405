"""Opens a shard and says what is in it: `python -m rsq_agent.collections.shard_check FOLDER`.

A process of its own, because files that somebody else made may end the one that maps them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from rsq.errors import IntegrityError, RsqError

_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class ShardContent:
    points: int
    dimension: int | None  # None where there is no point


def check_shard(folder: Path) -> ShardContent:
    """Raises IntegrityError where the closed shard in `folder` can't be opened."""
    command = [sys.executable, "-m", "rsq_agent.collections.shard_check", str(folder)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired as e:
        raise IntegrityError("The points can't be opened in time.") from e
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise IntegrityError(last or f"Opening the points ended with status {done.returncode}.")
    return ShardContent(**json.loads(done.stdout))


def main(folder: str) -> int:
    from rsq_agent.collections.shard import Shard

    try:
        shard = Shard.load(Path(folder))
        points, _ = shard.scroll(None, limit=1)
        dimension = len(points[0].vector) if points else None
        print(json.dumps({"points": shard.count(), "dimension": dimension}))
        shard.close()
    except RsqError as e:
        print(e, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
