"""Every few operations of what nodes and registries do to their files; bench_crashes does all.

In a process of its own, since it forks, which threads of other tests would not survive.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
STEP = 7
EVERYTHING = f"""
from crash_scenarios import SCENARIOS
run(SCENARIOS, step={STEP})
"""
# A file that is renamed before its bytes are synced, as too many programs do.
CARELESS = """
import os
from crash_matrix import Scenario

def prepare(folder):
    (folder / "state").write_text("old")

def work(folder, tell):
    (folder / "new").write_text("new")
    os.replace(folder / "new", folder / "state")
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    (folder / "done").touch()

def judge(folder):
    held = (folder / "state").read_text()
    return "" if held in ("old", "new") else f"the state is {held!r}"

run([Scenario("careless", prepare, work, judge)])
"""
SETUP = """
import dataclasses, json, sys
from pathlib import Path
from crash_matrix import run_matrix

def run(scenarios, step=1):
    ends = run_matrix(scenarios, Path(sys.argv[1]), step=step)
    print(json.dumps([dataclasses.asdict(end) for end in ends]))
"""


def run_script(script: str, folder: Path) -> list[dict[str, str]]:
    done = subprocess.run(
        [sys.executable, "-c", SETUP + script, folder],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ends: list[dict[str, str]] = json.loads(done.stdout)
    return ends


def test_no_crash_power_cut_or_disk_error_leaves_a_bad_state(tmp_path: Path) -> None:
    ends = run_script(EVERYTHING, tmp_path)
    assert [end for end in ends if end["wrong"]] == []
    counts = Counter((end["scenario"], end["fault"]) for end in ends)
    assert counts["pull", "power cut"] > 10
    assert {name for name, _ in counts} == {
        "pull", "activate", "rollback", "prune", "index", "migrate", "publish", "gc",
    }  # fmt: skip
    assert {"fsync", "replace", "commit", "pwritev"} <= {end["operation"] for end in ends}


def test_the_matrix_finds_what_careless_work_loses(tmp_path: Path) -> None:
    ends = run_script(CARELESS, tmp_path)
    wrong = {(end["fault"], end["operation"]): end["wrong"] for end in ends if end["wrong"]}
    assert wrong.pop(("power cut", "open")) == "the state is ''"
    # And whatever the system says reaches its user raw.
    assert {fault for fault, _ in wrong} == {"ENOSPC", "EIO", "EACCES"}
    assert wrong["EIO", "fsync"] == "raised OSError: [Errno 5] Input/output error"
