"""What a search for a mixed variant found, as a report shows it."""

from __future__ import annotations

from collections.abc import Mapping

from rsq.manifest import Tower
from rsq_server.build.mixed import Precision, SearchResult
from rsq_server.details import BlockSensitivity, SearchTrial

# As reports call the precisions.
_WORDS: dict[Precision, str] = {"token": "int8", "wide": "int8 x 2", "float": "fp32"}


def describe_search(
    searches: Mapping[Tower, SearchResult],
) -> tuple[tuple[BlockSensitivity, ...], tuple[SearchTrial, ...]]:
    sensitivities = tuple(
        BlockSensitivity(
            tower=tower,
            block=unit,
            embedding_error=max(0.0, found.embedding_error),
            retrieval_loss=1 - found.overlap,
            kept=_WORDS[result.assignment[unit]],
        )
        for tower, result in searches.items()
        for unit, found in result.sensitivities.items()
    )
    trials = tuple(
        SearchTrial(
            tower=tower,
            kept=tuple(sorted(trial.raised)),
            cost=trial.cost,
            accuracy=trial.agreement.overlap,
            chosen=trial.raised == _raised(result),
        )
        for tower, result in searches.items()
        for trial in result.trials
    )
    return sensitivities, trials


def _raised(result: SearchResult) -> dict[str, Precision]:
    return {name: level for name, level in result.assignment.items() if level != "token"}
