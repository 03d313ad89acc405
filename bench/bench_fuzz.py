"""Fuzzes everything that reads bytes which somebody else wrote, for a bounded time.

Needs atheris beside the development tools: `.venv/bin/pip install atheris`. A fault ends its
target's run; its input is kept and named. Executions are libFuzzer's own count.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from base_towers import cpu_name

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from fuzz_target import CORPUS  # noqa: E402
from fuzz_targets import TARGETS  # noqa: E402

PROGRAM = Path(__file__).with_name("fuzz_program.py")
MAX_MEMORY_MB = 2048
MAX_SECONDS_EACH = 10  # longer is a hang
_EXECUTED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_COVERED = re.compile(r"cov: (\d+)")


def fuzz(name: str, seconds: float, out: Path) -> dict[str, Any]:
    found = out / name
    found.mkdir(parents=True)
    corpus = shutil.copytree(CORPUS / name, found / "corpus")
    done = subprocess.run(
        [
            sys.executable, PROGRAM, name, corpus,
            f"-max_total_time={int(seconds)}", f"-rss_limit_mb={MAX_MEMORY_MB}",
            f"-timeout={MAX_SECONDS_EACH}", "-print_final_stats=1", "-max_len=65536",
            f"-artifact_prefix={found}/fault-",
        ],
        capture_output=True, text=True, errors="replace", timeout=seconds * 3 + 120, check=False,
    )  # fmt: skip
    executed = _EXECUTED.findall(done.stderr)
    covered = _COVERED.findall(done.stderr)
    faults = sorted(found.glob("fault-*"))
    if done.returncode != 0 and not faults:
        raise RuntimeError(f"{name} could not be fuzzed:\n{done.stderr[-2000:]}")
    return {
        "executions": int(executed[-1]) if executed else 0,
        "covered_edges": int(covered[-1]) if covered else 0,
        "faults": [str(path) for path in faults],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=40.0, help="for each target")
    parser.add_argument("--target", action="append", choices=[t.name for t in TARGETS])
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/fuzz.json")
    options = parser.parse_args()
    if find_spec("atheris") is None:
        print("atheris is not installed; run: .venv/bin/pip install atheris")
        return
    names = options.target or [target.name for target in TARGETS]
    folder = Path(tempfile.mkdtemp(prefix="rsq-fuzz-"))
    begun = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = dict(
            zip(names, pool.map(lambda n: fuzz(n, options.seconds, folder), names), strict=True)
        )
    for name, row in rows.items():
        print(f"{name:20} {row['executions']:>10,} executions, {row['covered_edges']} edges")
        for path in row["faults"]:
            print(f"  fault: {path}")
    total = sum(row["executions"] for row in rows.values())
    faults = sum(len(row["faults"]) for row in rows.values())
    print(f"{total:,} executions over {len(rows)} targets, {faults} faults")
    if not faults:
        shutil.rmtree(folder)
    found = {
        "device": cpu_name(),
        "seconds_each": options.seconds,
        "wall_seconds": time.monotonic() - begun,
        "executions": total,
        "faults": faults,
        "targets": rows,
    }
    options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
