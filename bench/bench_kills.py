"""A pull that is killed again and again: 200 times SIGKILL at random moments of a 400 MB transfer.

States whether the bytes are right in the end and how many chunks were asked for twice, which may be
one for each reader and kill.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from stored_version import fill_registry
from watched_server import serve_watched

from rsq.digest import digest_file
from rsq_agent.cache import Cache

REPOSITORY = Path(__file__).resolve().parent.parent
READERS = 4
SEED = 20261123


def run(folder: Path, kills: int, size_bytes: int) -> dict[str, Any]:
    chance = random.Random(SEED)
    weights = fill_registry(folder / "home", folder / "files", size_bytes=size_bytes)
    with serve_watched(folder / "home") as (address, service):
        command = [
            sys.executable, str(Path(__file__).with_name("fetch_program.py")), address,
            str(folder / "agent"), "--readers", str(READERS),
            # So slow that all kills hit one and the same transfer.
            "--limit", str(size_bytes // max(1, kills // 6)),
        ]  # fmt: skip
        begun = time.perf_counter()
        repeated: list[int] = []
        while len(repeated) < kills:
            before = set(service.reads)
            count = len(service.reads)
            if not _run_and_kill(command, chance):
                break
            again = service.reads[count:]
            repeated.append(len(again) - len(set(again) - before))
        done = subprocess.run(command[:-2], capture_output=True, text=True, check=True)
        cache = Cache(folder / "agent")
        path = cache.blob_path(weights.sha256)
        return {
            "size_bytes": size_bytes,
            "chunks": len(weights.chunks),
            "readers": READERS,
            "kills": len(repeated),
            "seconds": time.perf_counter() - begun,
            "right": digest_file(path) == weights.sha256,
            "reads": len(service.reads),
            "chunks_read_again": sum(repeated),
            "worst_of_one_kill": max(repeated),
            "last_run": json.loads(done.stdout.splitlines()[-1]),
        }


def _run_and_kill(command: list[str], chance: random.Random) -> bool:
    """Whether it was killed before it ended by itself."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.25))
        return process.poll() is None
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/kills.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = run(Path(name), options.kills, options.megabytes * 10**6)
    print(
        f"{found['kills']} kills in a pull of {found['size_bytes'] / 1e6:.0f} MB: bytes right: "
        f"{found['right']}; {found['chunks_read_again']} chunks read again, at most "
        f"{found['worst_of_one_kill']} after one kill with {found['readers']} readers"
    )
    options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
