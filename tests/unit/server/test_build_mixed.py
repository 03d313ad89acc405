from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsq.errors import GateRefused
from rsq_server.build.mixed import (
    Agreement,
    Assignment,
    Journal,
    Precision,
    SearchResult,
    Unit,
    search,
)

SHARE: dict[Precision, float] = {"token": 1.0, "wide": 0.05, "float": 0.0}


class Tower:
    """Units whose errors add up; the order is lost in proportion to the error."""

    def __init__(self, units: dict[str, tuple[float, float, float, float]]) -> None:
        """Costs at token, wide and float, and the error at token, by name."""
        self.units = [
            Unit(name, {"token": token, "wide": wide, "float": full})
            for name, (token, wide, full, _) in units.items()
        ]
        self.errors = {name: error for name, (*_, error) in units.items()}
        self.calls = 0

    def measure(self, assignment: Assignment) -> Agreement:
        self.calls += 1
        error = sum(self.errors[name] * SHARE[level] for name, level in assignment.items())
        return Agreement(embedding_error=error, overlap=1 - error, order=1 - error)

    def cost(self, assignment: Assignment) -> float:
        return sum(unit.costs[assignment[unit.name]] for unit in self.units)

    def search(
        self, floor: float, *, trials: int = 12, journal: Journal | None = None
    ) -> SearchResult:
        return search(
            self.units,
            self.measure,
            self.measure,
            floor=floor,
            trials=trials,
            journal=journal or Journal(None),
        )


def make_tower() -> Tower:
    return Tower(
        {
            "block 0 attention": (1, 1.8, 3, 0.010),
            "block 0 ffn": (2, 3.6, 6, 0.001),
            "block 1 attention": (1, 1.8, 3, 0.002),
            "block 1 ffn": (2, 3.6, 6, 0.0005),
            "head": (1, 1.8, 2.5, 0.004),
        }
    )


def test_where_int8_holds_the_floor_nothing_is_raised() -> None:
    result = make_tower().search(0.95)
    assert set(result.assignment.values()) == {"token"}
    assert [trial.cost for trial in result.trials] == [1.0]


def test_the_units_that_lose_most_are_raised_and_the_others_stay() -> None:
    tower = make_tower()
    result = tower.search(0.995)
    assert tower.measure(result.assignment).order >= 0.995
    assert result.assignment["block 0 attention"] != "token"
    assert result.assignment["block 0 ffn"] == result.assignment["block 1 ffn"] == "token"
    assert tower.cost(result.assignment) < 0.7 * tower.cost(dict.fromkeys(tower.errors, "float"))


def test_each_unit_is_measured_alone() -> None:
    tower = make_tower()
    result = tower.search(0.995)
    found = {name: agreement.embedding_error for name, agreement in result.sensitivities.items()}
    assert found == pytest.approx(tower.errors)


def test_the_same_tower_gives_the_same_search() -> None:
    assert make_tower().search(0.995) == make_tower().search(0.995)


def test_a_floor_that_only_fp32_holds_is_refused_with_what_was_tried() -> None:
    with pytest.raises(GateRefused, match="No assignment cheaper than FP32") as refusal:
        make_tower().search(1.0)
    assert "all INT8 (cost 1.00)" in refusal.value.metadata


def test_no_more_trials_than_asked_for() -> None:
    result = make_tower().search(0.995, trials=4)
    assert len(result.trials) <= 4
    assert make_tower().measure(result.assignment).order >= 0.995


def test_a_search_that_was_cut_off_goes_on_from_its_journal(tmp_path: Path) -> None:
    path = tmp_path / "searches" / "vision.json"
    tower = make_tower()

    class Cut(Exception):
        pass

    def cut_off(assignment: Assignment) -> Agreement:
        if tower.calls == 7:
            raise Cut
        return tower.measure(assignment)

    with pytest.raises(Cut):
        search(tower.units, cut_off, cut_off, floor=0.995, trials=12, journal=Journal(path))
    whole = make_tower()
    expected = whole.search(0.995)
    resumed = make_tower()
    assert resumed.search(0.995, journal=Journal(path)) == expected
    assert resumed.calls == whole.calls - 7
    again = make_tower()
    assert again.search(0.995, journal=Journal(path)) == expected
    assert again.calls == 0


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"glance: a=token": {"order": 1}}'])
def test_a_damaged_journal_is_measured_again(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "vision.json"
    path.write_bytes(damage)
    assert make_tower().search(0.995, journal=Journal(path)) == make_tower().search(0.995)


@given(
    st.lists(
        st.tuples(st.floats(0.1, 5), st.floats(1.1, 3), st.floats(1.1, 6), st.floats(0, 0.01)),
        min_size=1,
        max_size=8,
    ),
    st.floats(0.9, 0.9999),
)
def test_what_is_found_holds_the_floor_and_costs_less_than_fp32(
    rows: list[tuple[float, float, float, float]], floor: float
) -> None:
    tower = Tower(
        {
            f"block {index} ffn": (token, token * wide, token * full, error)
            for index, (token, wide, full, error) in enumerate(rows)
        }
    )
    try:
        result = tower.search(floor)
    except GateRefused:
        assert tower.measure(dict.fromkeys(tower.errors, "token")).order < floor
        return
    assert tower.measure(result.assignment).order >= floor
    assert tower.cost(result.assignment) < tower.cost(dict.fromkeys(tower.errors, "float"))
