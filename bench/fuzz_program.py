"""Fuzzes one target with atheris, libFuzzer for Python: `fuzz_program.py TARGET CORPUS FLAGS...`.

Coverage guides what is kept; half of the changes are libFuzzer's, half those of the tests.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from random import Random

import atheris

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS))
warnings.simplefilter("ignore")

with atheris.instrument_imports(include=["rsq", "rsq_agent"]):
    from fuzz_mutation import mutate
    from fuzz_target import try_input
    from fuzz_targets import TARGETS


def main() -> None:
    target = next(target for target in TARGETS if target.name == sys.argv[1])

    def change(data: bytes, limit: int, seed: int) -> bytes:
        if seed % 2:
            return bytes(atheris.Mutate(data, limit))
        return mutate(data, Random(seed), is_json=target.is_json)[:limit]

    flags = [sys.argv[0], *sys.argv[2:]]
    atheris.Setup(flags, lambda data: try_input(target, data), custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
