"""Work on files interrupted at every operation in every way, and what is wrong afterwards."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from file_faults import FAULTS, Tell, run_forked, run_with_fault

import rsq.errors


@dataclass(frozen=True)
class Scenario:
    """`prepare(folder)` makes what `work(folder, tell)` starts from; `judge(folder)` answers "" or
    what is wrong."""

    name: str
    prepare: Callable[[Path], None]
    work: Callable[[Path, Tell], None]
    judge: Callable[[Path], str]
    faults: tuple[str, ...] = FAULTS


@dataclass(frozen=True)
class End:
    """How one interruption ended. `wrong` is empty where all is well."""

    scenario: str
    fault: str
    operation: str
    wrong: str


def run_matrix(scenarios: Sequence[Scenario], folder: Path, *, step: int = 1) -> Iterator[End]:
    """Interrupts each scenario with each of its faults before every `step`-th operation, each fault
    beginning with another one. `folder` is for its files."""
    for scenario in scenarios:
        prepared = folder / scenario.name
        prepared.mkdir()
        if run_forked(lambda: scenario.prepare(prepared)) != 0:  # noqa: B023 - run at once
            raise RuntimeError(f"{scenario.name} could not be prepared")
        for shift, fault in enumerate(scenario.faults):
            before = shift % step
            while end := _interrupt(scenario, prepared, folder / "run", fault, before):
                yield end
                before += step


def _interrupt(
    scenario: Scenario, prepared: Path, folder: Path, fault: str, before: int
) -> End | None:
    """One run on a copy of `prepared`; None where the work had fewer operations."""
    subprocess.run(["cp", "-a", prepared, folder], check=True)  # hard links stay what they are
    try:
        outcome = run_with_fault(
            lambda tell: scenario.work(folder, tell), folder, fault=fault, before=before
        )
        if outcome.operation is None:
            if outcome.error is not None:
                raise RuntimeError(f"{scenario.name} failed by itself: {outcome.error}")
            return None
        wrong = _judge_apart(scenario, folder) or _judge_error(outcome.error)
        return End(scenario.name, fault, outcome.operation, wrong)
    finally:
        shutil.rmtree(folder)


def _judge_apart(scenario: Scenario, folder: Path) -> str:
    """Judges in a process of its own: judging loads models, and this one forks."""
    verdict = folder.with_name("verdict")

    def judge() -> None:
        try:
            verdict.write_text(scenario.judge(folder))
        except Exception as e:  # noqa: BLE001 - whatever it is, it is the verdict
            verdict.write_text(f"{type(e).__name__}: {e}")

    if run_forked(judge) != 0:
        return "the judge died"
    return verdict.read_text()


def _judge_error(error: str | None) -> str:
    """An error that the work met must come out as one of ours, which a user can read."""
    if error is None or getattr(rsq.errors, error.split(":")[0], None) is not None:
        return ""
    return f"raised {error}"
