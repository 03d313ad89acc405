"""The crash matrix: what a node and a registry do to their files, interrupted before every single
operation by a kill, a power cut that drops what was not synced, a full disk, a failing disk and a
missing permission. Prints how many ended badly of how many, and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from crash_matrix import run_matrix  # noqa: E402
from crash_scenarios import SCENARIOS  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/crashes.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rsq-crashes-") as folder:
        ends = list(run_matrix(SCENARIOS, Path(folder)))
    bad = [end for end in ends if end.wrong]
    counts = Counter((end.scenario, end.fault) for end in ends)
    wrong = Counter((end.scenario, end.fault) for end in bad)
    for (scenario, fault), count in counts.items():
        print(f"{scenario:10} {fault:10} {count:5} interruptions, {wrong[scenario, fault]} bad")
    for end in bad:
        print(f"  {end.scenario}, {end.fault} before {end.operation}: {end.wrong}")
    print(f"{len(bad)} bad end states of {len(ends)}")
    found = {
        "interruptions": len(ends),
        "bad": len(bad),
        "by_scenario": {
            scenario.name: {fault: counts[scenario.name, fault] for fault in scenario.faults}
            for scenario in SCENARIOS
        },
        "operations": dict(Counter(end.operation for end in ends).most_common()),
    }
    options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
