"""What quantizing each block of a tower alone costs, as bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rsq.manifest import TOWERS
from rsq_server.details import BlockSensitivity, Details
from rsq_server.report_page.trials import describe_trial, draw_trials

_LOWEST = "int8"  # a block that stayed there needs no mark


@dataclass(frozen=True)
class Bar:
    """`share` 0..1 of the longest bar."""

    text: str
    share: float


@dataclass(frozen=True)
class Block:
    name: str
    kept: str
    is_raised: bool
    embedding: Bar
    retrieval: Bar


@dataclass(frozen=True)
class TowerSensitivity:
    """`trials` is a chart, None where no search was run; `chosen` describes the trial taken."""

    tower: str
    blocks: tuple[Block, ...]
    trials: str | None
    chosen: str


def show_sensitivities(details: Details) -> list[TowerSensitivity]:
    """One for each tower that has any, blocks in the order in which they were recorded."""
    towers = []
    for tower in TOWERS:
        blocks = _show_blocks([s for s in details.sensitivities if s.tower == tower])
        trials = [trial for trial in details.trials if trial.tower == tower]
        if blocks or trials:
            chosen = next((describe_trial(trial) for trial in trials if trial.chosen), "")
            chart = draw_trials(tower, trials) if trials else None
            towers.append(TowerSensitivity(tower, blocks, chart, chosen))
    return towers


def _show_blocks(sensitivities: Sequence[BlockSensitivity]) -> tuple[Block, ...]:
    errors = [item.embedding_error for item in sensitivities]
    losses = [item.retrieval_loss for item in sensitivities]
    return tuple(
        Block(
            name=item.block,
            kept=item.kept,
            is_raised=item.kept != _LOWEST,
            embedding=Bar(f"{item.embedding_error:.1e}", _share(item.embedding_error, errors)),
            retrieval=Bar(f"{item.retrieval_loss:.2%}", _share(item.retrieval_loss, losses)),
        )
        for item in sensitivities
    )


def _share(value: float, values: Sequence[float]) -> float:
    longest = max(values)
    return max(0.0, value / longest) if longest > 0 else 0.0
