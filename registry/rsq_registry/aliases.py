"""Aliases: an append-only history whose newest event is the current value."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from rsq.records import AliasEvent
from rsq_registry import tables
from rsq_registry.columns import format_time


def current_aliases(session: Session, model_id: int | None = None) -> dict[int, dict[str, int]]:
    """By model id, the version number of each alias that is set; of one model or of all."""
    newest = select(func.max(tables.AliasEvent.id)).group_by(
        tables.AliasEvent.model_id, tables.AliasEvent.alias
    )
    if model_id is not None:
        newest = newest.where(tables.AliasEvent.model_id == model_id)
    events = session.scalars(
        select(tables.AliasEvent)
        .where(tables.AliasEvent.id.in_(newest), tables.AliasEvent.number.is_not(None))
        .order_by(tables.AliasEvent.alias)
    )
    current: dict[int, dict[str, int]] = {}
    for event in events:
        assert event.number is not None  # the query left removals out
        current.setdefault(event.model_id, {})[event.alias] = event.number
    return current


def append_event(
    session: Session, model: tables.Model, alias: str, number: int | None, *, by: str, at: datetime
) -> None:
    """Adds one event. `model` is locked, so that events of one alias commit in the order of their
    ids, and the version exists."""
    session.add(tables.AliasEvent(model_id=model.id, alias=alias, number=number, at=at, by=by))
    session.flush()


def list_events(session: Session, model: tables.Model) -> list[AliasEvent]:
    """The model's whole history, oldest first."""
    events = session.scalars(
        select(tables.AliasEvent)
        .where(tables.AliasEvent.model_id == model.id)
        .order_by(tables.AliasEvent.id)
    )
    return [
        AliasEvent(model.name, event.alias, event.number, format_time(event.at), event.by)
        for event in events
    ]
