from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsq_agent.inference.batch_times import BatchTimes
from rsq_agent.inference.pace import Pace

# A batch costs 10 ms and 5 ms for each item.
PACE = Pace(2, 1, 8, items_per_second=320.0, batch_seconds={1: 0.015, 4: 0.030, 8: 0.050})


@pytest.fixture
def times() -> BatchTimes:
    return BatchTimes(PACE)


@pytest.mark.parametrize(
    ("items", "seconds"), [(1, 0.015), (2, 0.020), (3, 0.025), (4, 0.030), (6, 0.040), (16, 0.100)]
)
def test_sizes_that_were_never_run_are_read_off_their_neighbours(
    times: BatchTimes, items: int, seconds: float
) -> None:
    assert times.seconds(items) == pytest.approx(seconds)


def test_a_pace_of_an_earlier_version_gives_the_time_of_its_batch() -> None:
    times = BatchTimes(Pace(2, 1, 4, items_per_second=80.0))
    assert times.seconds(4) == pytest.approx(0.1)
    assert times.seconds(1) == pytest.approx(0.1)  # no quicker than what was seen
    assert times.row_seconds == pytest.approx(1 / 80)


@pytest.mark.parametrize(
    ("seconds", "most"), [(0.014, 0), (0.016, 1), (0.026, 3), (0.049, 7), (1.0, 8)]
)
def test_the_largest_batch_that_ends_in_time(times: BatchTimes, seconds: float, most: int) -> None:
    assert times.most_within(seconds, 8) == most


def test_rows_end_when_the_workers_have_run_them_in_order(times: BatchTimes) -> None:
    def finish(items: int, busy: list[float], largest: int) -> float:
        return times.finish_seconds(items, busy=busy, largest=largest)

    assert finish(0, [0.2], 8) == 0
    assert finish(1, [0.2], 8) == pytest.approx(0.215)
    assert finish(3, [0.0], 1) == pytest.approx(0.045)
    assert finish(3, [0.0, 0.0], 1) == pytest.approx(0.030)  # two side by side, then the third
    assert finish(3, [0.0, 0.2], 1) == pytest.approx(0.045)  # the free worker has all three
    assert finish(8, [0.0], 8) == pytest.approx(0.050)


def test_what_runs_is_learned_and_its_neighbours_with_it(times: BatchTimes) -> None:
    for _ in range(100):
        times.observe(4, 0.060)
    assert times.seconds(4) == pytest.approx(0.060, rel=0.01)
    assert 0.015 < times.seconds(1) < 0.030
    assert times.row_seconds == pytest.approx(0.060 / 4 / 2, rel=0.01)


def test_a_size_that_was_slow_for_a_while_is_taken_again_in_time(times: BatchTimes) -> None:
    for _ in range(100):
        times.observe(8, 0.500)
    assert times.most_within(0.055, 8) < 4
    for _ in range(300):
        items = max(times.most_within(0.055, 8), 1)
        times.observe(items, 0.010 + 0.005 * items)
    assert times.most_within(0.055, 8) == 8


@given(
    seen=st.lists(st.tuples(st.integers(1, 8), st.floats(1e-4, 10)), max_size=40),
    items=st.integers(1, 64),
)
def test_times_stay_times(seen: list[tuple[int, float]], items: int) -> None:
    times = BatchTimes(PACE)
    for size, seconds in seen:
        times.observe(size, seconds)
    assert 0 < times.seconds(items) < 200
    assert times.finish_seconds(items, busy=[0.0, 0.0], largest=8) >= times.seconds(1) * 0.01
