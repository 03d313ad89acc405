"""Which time counts. A node's clock may be wrong or set by an attacker, but it is never earlier
than the latest signature that was verified here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rsq.errors import ClockWrong
from rsq_agent.trust.policy import Policy

TOLERANCE = timedelta(days=1)  # between two honest clocks
# Metadata is renewed every few days. When it looks years old, the clock is the likelier culprit.
LONG_AGO = timedelta(days=3 * 365)
ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)  # at which nothing has expired


def choose_time(now: datetime, floor: datetime | None, policy: Policy) -> datetime:
    """The time to check expiry against. `floor` is the latest verified signature's. Raises
    ClockWrong for a clock well before it."""
    if policy.waiver(max(now, floor or now)) is not None:
        return ANY_TIME
    if floor is not None and now < floor - TOLERANCE:
        raise ClockWrong(
            f"This node's clock says {_day(now)}, but it has verified a signature of "
            f"{_day(floor)}. Set the clock, then try again."
        )
    grace = timedelta(days=policy.grace_days)
    return now - grace if floor is None else max(now - grace, floor)


def check_expiry(now: datetime, signed_at: datetime | None) -> None:
    """Called where metadata looks expired: raises ClockWrong where the clock is to blame."""
    if signed_at is not None and now - signed_at > LONG_AGO:
        raise ClockWrong(
            f"This node's clock says {_day(now)}, but the newest metadata was signed on "
            f"{_day(signed_at)}. Set the clock; if it is right, someone withholds newer metadata."
        )


def check_signed_at(now: datetime, signed_at: datetime | None) -> None:
    """Called with a verified signature's time: raises ClockWrong where it lies in the future."""
    if signed_at is not None and signed_at > now + TOLERANCE:
        raise ClockWrong(
            f"This node's clock says {_day(now)}, but the metadata was signed on "
            f"{_day(signed_at)}. Set the clock of this node, or that of the signer."
        )


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d")
