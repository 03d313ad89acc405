"""Bearer tokens of the server. Only the hash of a secret is ever stored."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine, or_, select, text
from sqlalchemy.orm import Session

from rsq.errors import BadInput, NotFound
from rsq.tokens import Scope, StoredToken
from rsq_registry import tables
from rsq_registry.transactions import read, write


class RegistryTokens:
    """A `rsq.tokens.TokenStore`. Methods may be called from any thread and raise what
    `transactions.read` and `write` raise."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, token: StoredToken) -> None:
        def work(session: Session) -> None:
            _exclude_adding(session)
            if any(row.is_good(token.created_at) for row in _named(session, token.name)):
                raise BadInput(
                    f"There is a token {token.name!r} already; choose another name or revoke it."
                )
            session.add(
                tables.Token(
                    id=token.id,
                    name=token.name,
                    secret_sha256=token.secret_sha256,
                    scopes=" ".join(sorted(token.scopes)),
                    created_at=token.created_at,
                    expires_at=token.expires_at,
                    revoked_at=token.revoked_at,
                )
            )

        write(self._engine, work)

    def find(self, token_id: str) -> StoredToken | None:
        def work(session: Session) -> StoredToken | None:
            row = session.get(tables.Token, token_id)
            return None if row is None else _to_record(row)

        return read(self._engine, work)

    def tokens(self) -> list[StoredToken]:
        def work(session: Session) -> list[StoredToken]:
            rows = session.scalars(select(tables.Token).order_by(tables.Token.created_at))
            return [_to_record(row) for row in rows]

        return read(self._engine, work)

    def revoke(self, name_or_id: str, now: datetime) -> StoredToken:
        def work(session: Session) -> StoredToken:
            wanted = or_(tables.Token.name == name_or_id, tables.Token.id == name_or_id)
            for row in session.scalars(select(tables.Token).where(wanted)):
                if _to_record(row).is_good(now):
                    row.revoked_at = now
                    return _to_record(row)
            raise NotFound(f"No token that is still good is called {name_or_id!r}.")

        return write(self._engine, work)


def _exclude_adding(session: Session) -> None:
    """Nobody adds a token until this transaction ends. On SQLite every writing transaction has the
    whole database to itself."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE tokens IN EXCLUSIVE MODE"))


def _named(session: Session, name: str) -> list[StoredToken]:
    rows = session.scalars(select(tables.Token).where(tables.Token.name == name))
    return [_to_record(row) for row in rows]


def _to_record(row: tables.Token) -> StoredToken:
    return StoredToken(
        row.id,
        row.name,
        row.secret_sha256,
        # A scope of a newer release means nothing here.
        frozenset(Scope(word) for word in row.scopes.split() if word in set(Scope)),
        row.created_at,
        row.expires_at,
        row.revoked_at,
    )
