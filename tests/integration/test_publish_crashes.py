"""A crash at any operation of storing a version leaves nothing that garbage collection won't tidy.

In a process of its own, since it forks, which threads of other tests would not survive.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
SCRIPT = "import json, publish_crashes; print(json.dumps(publish_crashes.crash_everywhere()))"


def test_no_crash_leaves_half_a_version() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    crashes = json.loads(done.stdout)
    assert [crash for crash in crashes if crash["fault"]] == []
    operations = {crash["operation"] for crash in crashes}
    assert {"fsync", "replace", "commit", "sql INSERT"} <= operations
    assert len(crashes) > 50
