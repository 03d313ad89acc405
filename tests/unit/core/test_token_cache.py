"""Remembered tokens: few lookups, a revocation felt soon, and bounds that guesses can't break."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from rsq import token_cache
from rsq.token_cache import SECONDS, TokenCache
from rsq.tokens import Scope, StoredToken, make_token

NOW = datetime(2026, 11, 24, tzinfo=UTC)


class Store:
    def __init__(self) -> None:
        self.tokens: dict[str, StoredToken] = {}
        self.lookups = 0
        self.seconds = 0.0

    def add(self) -> StoredToken:
        _, token = make_token("x", [Scope.PULL], expires_at=None, now=NOW)
        self.tokens[token.id] = token
        return token

    def find(self, token_id: str) -> StoredToken | None:
        self.lookups += 1
        return self.tokens.get(token_id)

    def now(self) -> float:
        return self.seconds


def test_a_token_is_looked_up_once_until_its_time_is_over() -> None:
    store = Store()
    token = store.add()
    cache = TokenCache(store.find, now=store.now)
    assert [cache.find(token.id) for _ in range(5)] == [token] * 5
    assert store.lookups == 1
    store.tokens[token.id] = replace(token, revoked_at=NOW)
    store.seconds = SECONDS * 0.9
    assert cache.find(token.id) == token
    store.seconds = SECONDS * 1.1
    found = cache.find(token.id)
    assert found is not None
    assert found.revoked_at == NOW


def test_an_unknown_id_is_looked_up_once_and_found_when_it_is_made() -> None:
    store = Store()
    cache = TokenCache(store.find, now=store.now)
    _, token = make_token("x", [Scope.PULL], expires_at=None, now=NOW)
    assert cache.find(token.id) is None
    assert cache.find(token.id) is None
    assert store.lookups == 1
    store.tokens[token.id] = token
    store.seconds = SECONDS * 1.1
    assert cache.find(token.id) == token


def test_guesses_neither_grow_the_cache_nor_evict_a_token() -> None:
    store = Store()
    token = store.add()
    cache = TokenCache(store.find, now=store.now)
    assert cache.find(token.id) == token
    for guess in range(token_cache.MAX_UNKNOWN * 2):
        assert cache.find(f"{guess:012x}") is None
    assert len(cache._unknown) == token_cache.MAX_UNKNOWN
    before = store.lookups
    assert cache.find(token.id) == token
    assert store.lookups == before
