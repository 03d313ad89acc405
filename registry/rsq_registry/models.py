"""Models by name, and what there is where a name is unknown."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from rsq.errors import NotFound
from rsq.records import ModelRow
from rsq.reference import require_model_name
from rsq_registry import aliases, tables

LISTED = 10  # names an error sentence gives before it counts the rest


def find_model(session: Session, name: str, *, lock: bool = False) -> tables.Model:
    """The model's row; with `lock`, other writers wait for this transaction.

    Raises BadInput for a malformed name, NotFound for an unknown one.
    """
    model = _select_model(session, require_model_name(name), lock=lock)
    if model is None:
        names = session.scalars(select(tables.Model.name).order_by(tables.Model.name)).all()
        there = f"this registry has: {list_some(names)}" if names else "this registry is empty"
        raise NotFound(f"Unknown model {name!r}; {there}.")
    return model


def find_or_add_model(session: Session, name: str) -> tables.Model:
    """The model's locked row, new where there was none."""
    model = _select_model(session, name, lock=True)
    if model is None:
        model = tables.Model(name=name, last_number=0)
        session.add(model)
        session.flush()
    return model


def list_models(session: Session) -> list[ModelRow]:
    """All models by name; deleted versions don't count."""
    rows = session.execute(
        select(
            tables.Model,
            func.count(tables.Version.id),
            func.max(tables.Version.number),
        )
        .outerjoin(
            tables.Version,
            and_(tables.Version.model_id == tables.Model.id, tables.Version.deleted_at.is_(None)),
        )
        .group_by(tables.Model.id)
        .order_by(tables.Model.name)
    ).all()
    current = aliases.current_aliases(session)
    return [
        ModelRow(model.name, count, newest or 0, current.get(model.id, {}))
        for model, count, newest in rows
    ]


def list_some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _select_model(session: Session, name: str, *, lock: bool) -> tables.Model | None:
    query = select(tables.Model).where(tables.Model.name == name)
    return session.scalar(query.with_for_update() if lock else query)
