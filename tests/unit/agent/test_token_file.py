"""The agent's tokens in their file."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rsq.errors import BadInput, EnvironmentFault, NotFound
from rsq.tokens import Scope, StoredToken, make_token
from rsq_agent.token_file import TokenFile

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def _token(name: str = "web", **fields: object) -> StoredToken:
    return make_token(name, [Scope.SEARCH, Scope.EMBED], expires_at=None, now=NOW, **fields)[1]  # type: ignore[arg-type]


def test_what_is_added_is_found_as_it_was_and_the_file_is_private(tmp_path: Path) -> None:
    token = _token()
    TokenFile(tmp_path).add(token)
    assert TokenFile(tmp_path).find(token.id) == token
    assert TokenFile(tmp_path).find("0" * 12) is None
    assert (tmp_path / "tokens.json").stat().st_mode & 0o077 == 0


def test_a_name_is_free_again_once_its_token_is_no_longer_good(tmp_path: Path) -> None:
    store = TokenFile(tmp_path)
    first = _token()
    store.add(first)
    with pytest.raises(BadInput, match="already"):
        store.add(_token())
    revoked = store.revoke("web", NOW + timedelta(hours=1))
    assert revoked.id == first.id
    assert revoked.revoked_at == NOW + timedelta(hours=1)
    store.add(_token())
    assert len(store.tokens()) == 2
    with pytest.raises(NotFound):
        store.revoke(first.id, NOW + timedelta(hours=2))


def test_tokens_that_are_added_at_once_are_all_there(tmp_path: Path) -> None:
    tokens = [_token(f"t{number}") for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda token: TokenFile(tmp_path).add(token), tokens))
    assert {token.name for token in TokenFile(tmp_path).tokens()} == {t.name for t in tokens}


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"schema": 1', '"schema": 2'),
        lambda text: text.replace('"search"', '"everything"'),
        lambda text: json.dumps({"schema": 1, "tokens": [{}]}),
        lambda text: json.dumps({"schema": 1, "tokens": 3}),
        lambda text: "[" * 100_000,
        lambda text: text + " " * (2 << 20),
        lambda text: "",
    ],
)
def test_a_file_at_fault_admits_nobody(damage: object, tmp_path: Path) -> None:
    token = _token()
    TokenFile(tmp_path).add(token)
    path = tmp_path / "tokens.json"
    path.write_text(damage(path.read_text()))  # type: ignore[operator]
    with pytest.raises(EnvironmentFault, match="no token is accepted"):
        TokenFile(tmp_path).find(token.id)
