"""10,000 random steps of publishing, aliasing, deprecating, deleting, collecting and pulling, each
compared with a plain model of the registry; then a crash at every step of storing a version."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS))

from contract.lifecycle_machine import LifecycleMachine  # noqa: E402
from hypothesis import HealthCheck, Phase, settings  # noqa: E402
from hypothesis.stateful import run_state_machine_as_test  # noqa: E402
from publish_crashes import crash_everywhere  # noqa: E402

REPOSITORY = Path(__file__).resolve().parent.parent
STEPS_A_RUN = 50


def run_machine(steps: int) -> dict[str, int]:
    """How often each step was taken; raises where the registry and its model differ."""
    taken: Counter[str] = Counter()

    class Counted(LifecycleMachine):
        def teardown(self) -> None:
            taken.update(self.taken)
            super().teardown()

    while sum(taken.values()) < steps:
        left = steps - sum(taken.values())
        run_state_machine_as_test(
            Counted,
            settings=settings(
                max_examples=max(1, left // STEPS_A_RUN),
                stateful_step_count=STEPS_A_RUN,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
    return dict(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/lifecycle.json")
    options = parser.parse_args()
    taken = run_machine(options.steps)
    crashes = crash_everywhere()
    bad = [one for one in crashes if one["fault"]]
    found = {
        "steps": sum(taken.values()),
        "taken": taken,
        "divergences": 0,  # the first one would have ended the run
        "crashes": len(crashes),
        "crashes_by_operation": dict(Counter(one["operation"] for one in crashes)),
        "bad_ends": bad,
    }
    print(f"{found['steps']} steps without a difference: {taken}")
    print(f"{len(crashes)} crashes while a version was stored, {len(bad)} bad ends")
    options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
