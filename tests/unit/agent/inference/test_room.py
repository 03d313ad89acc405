from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rsq_agent.inference.room import HEADROOM_BYTES, Limits, Neighbour, find_room

IDLE = [Neighbour("old", 30, True, 1.0), Neighbour("new", 30, True, 2.0)]


def test_without_limits_everything_fits() -> None:
    assert find_room(10**12, beside_bytes=10**12, neighbours=[], limits=Limits()).fits


def test_the_pairs_budget_holds_whatever_else_goes() -> None:
    room = find_room(60, beside_bytes=50, neighbours=IDLE, limits=Limits(pair_bytes=100))
    assert (room.fits, room.evict) == (False, ())
    assert room.reason == "50 B in memory and 60 B to come are over the budget of 100 B."
    assert find_room(50, beside_bytes=50, neighbours=IDLE, limits=Limits(pair_bytes=100)).fits


def test_the_least_recently_used_go_first_and_no_more_than_needed() -> None:
    for total, evicted in ((100, ()), (99, ("old",)), (69, ("old", "new"))):
        room = find_room(40, beside_bytes=0, neighbours=IDLE, limits=Limits(total_bytes=total))
        assert (room.fits, room.evict) == (True, evicted)


def test_nothing_goes_where_it_would_not_help() -> None:
    room = find_room(40, beside_bytes=0, neighbours=IDLE, limits=Limits(total_bytes=39))
    assert (room.fits, room.evict) == (False, ())
    assert "all models together" in room.reason


def test_what_is_evicted_counts_as_free_and_a_headroom_stays() -> None:
    limits = Limits(free_bytes=HEADROOM_BYTES + 10)
    assert find_room(10, beside_bytes=0, neighbours=IDLE, limits=limits).evict == ()
    assert find_room(40, beside_bytes=0, neighbours=IDLE, limits=limits).evict == ("old",)
    assert not find_room(71, beside_bytes=0, neighbours=IDLE, limits=limits).fits


@given(
    needed=st.integers(0, 100),
    beside=st.integers(0, 100),
    total=st.integers(0, 300),
    neighbours=st.lists(
        st.builds(
            Neighbour,
            st.uuids().map(str),
            st.integers(0, 100),
            st.booleans(),
            st.floats(0, 10),
        ),
        max_size=5,
    ),
)
def test_what_fits_is_within_the_total_and_spares_those_in_use(
    needed: int, beside: int, total: int, neighbours: list[Neighbour]
) -> None:
    limits = Limits(total_bytes=total)
    room = find_room(needed, beside_bytes=beside, neighbours=neighbours, limits=limits)
    idle = {one.model for one in neighbours if one.is_idle}
    assert set(room.evict) <= idle
    staying = sum(one.size_bytes for one in neighbours if one.model not in room.evict)
    least = sum(one.size_bytes for one in neighbours if not one.is_idle)
    assert room.fits == (beside + needed + least <= total)
    assert not room.fits or beside + needed + staying <= total
