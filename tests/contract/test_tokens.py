"""Tokens in the registry, the same on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from rsq.errors import BadInput, NotFound, RsqError
from rsq.tokens import Scope, make_token
from rsq_registry.tokens import RegistryTokens

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_what_is_added_is_found_as_it_was_and_never_with_its_secret(engine: Engine) -> None:
    store = RegistryTokens(engine)
    expires = NOW + timedelta(days=30)
    secret, token = make_token("ci", [Scope.PUBLISH, Scope.PULL], expires_at=expires, now=NOW)
    store.add(token)
    assert store.find(token.id) == token
    assert store.tokens() == [token]
    assert store.find("0" * 12) is None
    with engine.connect() as connection:
        (row,) = connection.execute(text("SELECT * FROM tokens")).all()
    assert secret.split("_", 2)[2] not in str(row)


def test_a_revoked_token_stays_listed_and_frees_its_name(engine: Engine) -> None:
    store = RegistryTokens(engine)
    _, first = make_token("ci", [Scope.PULL], expires_at=None, now=NOW)
    _, second = make_token("ci", [Scope.PULL], expires_at=None, now=NOW + timedelta(hours=2))
    store.add(first)
    with pytest.raises(BadInput, match="already"):
        store.add(second)
    assert store.revoke("ci", NOW + timedelta(hours=1)).revoked_at == NOW + timedelta(hours=1)
    store.add(second)
    assert [token.id for token in store.tokens()] == [first.id, second.id]
    assert store.revoke(second.id, NOW + timedelta(hours=3)).id == second.id
    for name in ("ci", first.id, "nobody"):
        with pytest.raises(NotFound):
            store.revoke(name, NOW + timedelta(hours=4))


def test_an_expired_token_frees_its_name(engine: Engine) -> None:
    store = RegistryTokens(engine)
    _, first = make_token("ci", [Scope.PULL], expires_at=NOW + timedelta(hours=1), now=NOW)
    _, second = make_token("ci", [Scope.PULL], expires_at=None, now=NOW + timedelta(hours=2))
    store.add(first)
    store.add(second)


def test_of_tokens_with_one_name_made_at_once_one_is_good(engine: Engine) -> None:
    store = RegistryTokens(engine)

    def add(_: int) -> bool:
        try:
            store.add(make_token("ci", [Scope.PULL], expires_at=None, now=NOW)[1])
        except RsqError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        added = sum(pool.map(add, range(8)))
    assert added == len(store.tokens()) == 1
