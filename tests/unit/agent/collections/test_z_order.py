from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rsq_agent.collections.z_order import BITS, MAX_RANGES, UnitBox, cover, encode

unit = st.floats(0, 1)
spans = st.tuples(unit, unit).map(sorted)


def box_of(sides: Sequence[Sequence[float]]) -> UnitBox:
    low, high = zip(*sides, strict=True)
    return UnitBox(low, high)


def holds(covered: list[tuple[float, float]], number: float) -> bool:
    return any(least <= number <= most for least, most in covered)


def test_a_number_takes_a_bit_of_each_coordinate_in_turn() -> None:
    assert encode((0, 0, 0)) == 0
    assert encode((1, 1, 1)) == (1 << 3 * BITS) - 1
    assert encode((0.5, 0, 0)) == 1 << (3 * BITS - 1)
    assert encode((0, 0, 1 / (1 << BITS))) == 1


def test_what_lies_beyond_counts_as_at_the_border() -> None:
    assert encode((0, 0, -5)) == 0
    assert encode((7, 1, 1)) == encode((1, 1, 1))


def test_numbers_are_exact_in_a_float() -> None:
    largest = int(encode((1, 1, 1)))
    assert float(largest) != float(largest - 1)


@given(st.tuples(spans, spans, spans), st.lists(st.tuples(unit, unit, unit), max_size=20))
def test_a_cover_holds_whatever_lies_in_the_box(
    sides: tuple[list[float], ...], shares: list[tuple[float, float, float]]
) -> None:
    covered = cover([box_of(sides)])
    for where in [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), *shares]:
        x, y, z = (
            min(low + share * (high - low), high)
            for share, (low, high) in zip(where, sides, strict=True)
        )
        assert holds(covered, encode((x, y, z)))


def test_a_cover_is_few_ranges_in_order_that_hold_some_times_the_box() -> None:
    source = random.Random(3)
    points = [(source.random(), source.random(), source.random()) for _ in range(20_000)]
    sides = ([0.45, 0.77], [0.34, 0.66], [0.0, 0.1])
    covered = cover([box_of(sides)])
    assert len(covered) <= MAX_RANGES
    assert all(end < start for (_, end), (start, _) in pairwise(covered))
    inside = sum(
        all(low <= value <= high for value, (low, high) in zip(point, sides, strict=True))
        for point in points
    )
    found = sum(holds(covered, encode(point)) for point in points)
    assert inside <= found < 6 * inside


def test_several_boxes_share_one_cover() -> None:
    covered = cover([UnitBox((0, 0, 0), (0.1, 0.1, 0.1)), UnitBox((0.9, 0.9, 0.9), (1, 1, 1))])
    assert holds(covered, encode((0.05, 0.05, 0.05)))
    assert holds(covered, encode((0.95, 0.95, 0.95)))
    assert not holds(covered, encode((0.5, 0.5, 0.5)))


def test_everything_is_one_range() -> None:
    assert cover([UnitBox((0, 0, 0), (1, 1, 1))]) == [(0, encode((1, 1, 1)))]
