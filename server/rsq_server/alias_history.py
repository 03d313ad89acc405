"""What aliases meant at a moment, from their history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from rsq.errors import BadInput
from rsq.records import AliasEvent


def parse_moment(text: str) -> datetime:
    """The moment that "2026-03-01" (the end of that day in UTC) or "2026-03-01T12:00:00Z" names; a
    time without a zone is in UTC. Raises BadInput."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as e:
        raise BadInput(
            f"{text[:40]!r} is no date; write 2026-03-01 or 2026-03-01T12:00:00Z."
        ) from e
    if len(text) == len("2026-03-01"):
        moment += timedelta(days=1) - timedelta(microseconds=1)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def in_force(events: Sequence[AliasEvent], moment: datetime) -> list[AliasEvent]:
    """Of each alias the last of `events`, oldest first, up to that moment; by name. An alias that
    was removed by then is left out."""
    last: dict[str, AliasEvent] = {}
    for event in events:
        if datetime.fromisoformat(event.at) <= moment:
            last[event.alias] = event
    return [last[name] for name in sorted(last) if last[name].version is not None]
