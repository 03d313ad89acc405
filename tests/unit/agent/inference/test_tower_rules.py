from __future__ import annotations

from pathlib import Path

import pytest

from rsq_agent.cache import Cache
from rsq_agent.inference.tower_rules import tower_rules

FIRST, SECOND = "a" * 64, "b" * 64
SIZES = {FIRST: 300, SECOND: 500}


@pytest.mark.parametrize(
    ("budget", "cap"), [(1000, 500), (600, 100), (500, 1), (10, 1), (None, None)]
)
def test_a_tower_may_take_what_the_weights_of_the_others_leave(
    tmp_path: Path, budget: int | None, cap: int | None
) -> None:
    rules = tower_rules(Cache(tmp_path), FIRST, SIZES, budget_bytes=budget, allow_cpu=False)
    assert rules.memory_bytes == cap


def test_each_artifact_compiles_into_a_folder_of_its_own(tmp_path: Path) -> None:
    rules = [
        tower_rules(Cache(tmp_path), one, SIZES, budget_bytes=None, allow_cpu=True) for one in SIZES
    ]
    assert len({rule.cache_folder for rule in rules}) == 2
    assert all(rule.allow_cpu for rule in rules)
