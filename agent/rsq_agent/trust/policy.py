"""What the operator of a node decided about signatures, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rsq.errors import BadInput

MAX_GRACE_DAYS = 365
MAX_WAIVER_DAYS = 90
MAX_REASON_CHARACTERS = 500


@dataclass(frozen=True)
class Waiver:
    """Until then expired metadata is taken. It stays on record after it has ended."""

    until: datetime
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True)
class Policy:
    """`grace_days` go on after metadata has expired; 0 is strict."""

    require_signed: bool = True  # once a root is pinned
    grace_days: int = 0
    waivers: tuple[Waiver, ...] = ()

    def waiver(self, now: datetime) -> Waiver | None:
        """The one in force."""
        return next((one for one in self.waivers if one.at <= now < one.until), None)

    def waive(self, now: datetime, *, days: int, reason: str, by: str) -> Policy:
        """Raises BadInput for a waiver without a reason or an end in sight."""
        if not 1 <= days <= MAX_WAIVER_DAYS:
            raise BadInput(f"A waiver lasts 1 to {MAX_WAIVER_DAYS} days, not {days}.")
        if not reason.strip():
            raise BadInput("A waiver needs a reason; it is kept on record.")
        made = Waiver(now + timedelta(days=days), reason.strip()[:MAX_REASON_CHARACTERS], by, now)
        return replace(self, waivers=(*self.waivers, made))

    def end_waivers(self, now: datetime) -> Policy:
        ended = tuple(replace(one, until=min(one.until, now)) for one in self.waivers)
        return replace(self, waivers=ended)

    def with_grace(self, days: int) -> Policy:
        """Raises BadInput."""
        if not 0 <= days <= MAX_GRACE_DAYS:
            raise BadInput(f"Grace lasts 0 to {MAX_GRACE_DAYS} days, not {days}.")
        return replace(self, grace_days=days)
