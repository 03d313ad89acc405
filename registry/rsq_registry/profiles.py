"""Profiles: what the publisher and the nodes measured, bounded per source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from rsq.records import Profile
from rsq_registry import tables

KEPT_PROFILES = 64  # of one artifact from one source: the newest
_FIELDS = tuple(field.name for field in fields(Profile))


def append_profiles(session: Session, records: Sequence[Profile], *, at: datetime) -> None:
    """Adds those that aren't there yet, and forgets the oldest beyond KEPT_PROFILES of one artifact
    and source. A node that repeats its report therefore pushes nothing out."""
    subjects = dict.fromkeys((record.artifact_id, record.source) for record in records)
    known: set[Profile] = set()
    for artifact_id, source in subjects:
        rows = session.scalars(select(tables.Profile).where(*_is_of(artifact_id, source)))
        known.update(to_record(row) for row in rows)
    for record in dict.fromkeys(records):
        if record not in known:
            session.add(tables.Profile(**asdict(record), recorded_at=at))
            session.flush()  # one by one, so that ids follow the records' order
    for artifact_id, source in subjects:
        _forget_oldest(session, artifact_id, source)


def profiles_of(session: Session, artifact_ids: Sequence[str]) -> dict[str, list[Profile]]:
    """By artifact id, everything measured of it, oldest first."""
    rows = session.scalars(
        select(tables.Profile)
        .where(tables.Profile.artifact_id.in_(artifact_ids))
        .order_by(tables.Profile.id)
    )
    measured: dict[str, list[Profile]] = defaultdict(list)
    for row in rows:
        measured[row.artifact_id].append(to_record(row))
    return dict(measured)


def to_record(row: tables.Profile) -> Profile:
    return Profile(**{name: getattr(row, name) for name in _FIELDS})


def _is_of(artifact_id: str, source: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return tables.Profile.artifact_id == artifact_id, tables.Profile.source == source


def _forget_oldest(session: Session, artifact_id: str, source: str) -> None:
    kept = session.scalars(
        select(tables.Profile.id)
        .where(*_is_of(artifact_id, source))
        .order_by(tables.Profile.id.desc())
        .limit(KEPT_PROFILES)
    ).all()
    session.execute(
        delete(tables.Profile).where(*_is_of(artifact_id, source), tables.Profile.id < min(kept)),
        execution_options={"synchronize_session": False},
    )
