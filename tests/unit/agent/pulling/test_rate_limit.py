"""rsq_agent.pulling.rate_limit, on a clock of the test's own."""

from __future__ import annotations

from rsq_agent.pulling.rate_limit import MIN_PIECE_BYTES, RateLimit


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def sleep(self, seconds: float) -> None:
        self.at += seconds


def test_the_average_stays_at_the_rate_whatever_the_pieces() -> None:
    clock = Clock()
    limit = RateLimit(1000, now=lambda: clock.at, sleep=clock.sleep)
    for size in (500, 1, 1499, 3000, 10):
        limit.take(size)
    # The last piece is let through as soon as those before it are paid for.
    assert clock.at == 5.0


def test_time_that_nobody_used_is_not_saved_up() -> None:
    clock = Clock()
    limit = RateLimit(1000, now=lambda: clock.at, sleep=clock.sleep)
    clock.at = 100.0
    limit.take(2000)
    limit.take(1)
    assert clock.at == 102.0


def test_no_rate_never_waits_and_asks_for_everything() -> None:
    clock = Clock()
    limit = RateLimit(None, now=lambda: clock.at, sleep=clock.sleep)
    limit.take(1 << 40)
    assert clock.at == 0.0
    assert limit.piece_bytes > 1 << 40


def test_pieces_are_a_fraction_of_a_second_but_not_tiny() -> None:
    assert RateLimit(4_000_000).piece_bytes == 1_000_000
    assert RateLimit(1).piece_bytes == MIN_PIECE_BYTES
