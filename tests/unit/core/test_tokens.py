"""Bearer tokens: what is stored, which are good, and what a file with one may look like."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsq.errors import (
    BadInput,
    BadSecret,
    ScopeMissing,
    TokenExpired,
    TokenRevoked,
    TokenUnknown,
)
from rsq.tokens import Scope, StoredToken, allows, check_token, make_token, read_token_file

NOW = datetime(2026, 11, 24, tzinfo=UTC)
TEXT, STORED = make_token("node-7", [Scope.PULL], expires_at=None, now=NOW)


def _find(token_id: str) -> StoredToken | None:
    return STORED if token_id == STORED.id else None


def test_only_a_hash_of_the_secret_is_stored() -> None:
    secret = TEXT.rsplit("_", 1)[1] if TEXT.count("_") == 2 else TEXT.split("_", 2)[2]
    assert secret not in repr(STORED)
    assert len(STORED.secret_sha256) == 64
    assert make_token("node-7", [Scope.PULL], expires_at=None, now=NOW)[0] != TEXT


def test_the_right_text_is_good_and_opens_its_scopes_only() -> None:
    token = check_token(TEXT, _find, NOW)
    assert token is STORED
    assert allows(token.scopes, Scope.PULL)
    assert not allows(token.scopes, Scope.PUBLISH)
    assert all(allows({Scope.ADMIN}, scope) for scope in Scope)


@given(st.data())
def test_no_changed_text_is_good(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(TEXT) - 1))
    kind = data.draw(st.sampled_from(["swap", "drop", "add"]))
    letter = data.draw(st.characters())
    changed = {
        "swap": TEXT[:place] + letter + TEXT[place + 1 :],
        "drop": TEXT[:place] + TEXT[place + 1 :],
        "add": TEXT[:place] + letter + TEXT[place:],
    }[kind]
    if changed != TEXT:
        with pytest.raises(TokenUnknown):
            check_token(changed, _find, NOW)


def test_whatever_is_wrong_with_the_text_is_said_in_the_same_words() -> None:
    other, _ = make_token("other", [Scope.PULL], expires_at=None, now=NOW)
    same_id = f"rsq_{STORED.id}_{other.split('_', 2)[2]}"
    said = set()
    for text in ("", "nonsense", other, same_id):
        with pytest.raises(TokenUnknown) as caught:
            check_token(text, _find, NOW)
        said.add(caught.value.message)
    assert len(said) == 1


def test_a_token_that_was_good_says_why_it_is_not() -> None:
    past, future = NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)
    cases = (
        (replace(STORED, expires_at=NOW), TokenExpired),
        (replace(STORED, revoked_at=past), TokenRevoked),
        (replace(STORED, scopes=frozenset()), ScopeMissing),
    )
    for stored, error in cases:
        with pytest.raises(error, match="node-7"):
            check_token(TEXT, lambda _, stored=stored: stored, NOW)  # type: ignore[misc]
    assert check_token(TEXT, lambda _: replace(STORED, expires_at=future), NOW)


@pytest.mark.parametrize(
    ("name", "scopes", "days", "said"),
    [
        ("x", [], None, "needs a scope"),
        ("x", ["everything"], None, "not a scope"),
        ("x", ["pull"], -1, "expired already"),
        ("x", ["pull"], 0, "expired already"),
        ("", ["pull"], None, "can't be a token's name"),
        ("a\nb", ["pull"], None, "can't be a token's name"),
    ],
)
def test_a_token_that_could_not_be_used_is_not_made(
    name: str, scopes: list[str], days: float | None, said: str
) -> None:
    expires = NOW + timedelta(days=days) if days is not None else None
    with pytest.raises(BadInput, match=said):
        make_token(name, scopes, expires_at=expires, now=NOW)


def _file(folder: Path, data: bytes, mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_a_token_file_is_read_with_or_without_its_newline(tmp_path: Path) -> None:
    assert read_token_file(_file(tmp_path, f"{TEXT}\n".encode())) == TEXT
    assert read_token_file(_file(tmp_path, TEXT.encode())) == TEXT


@pytest.mark.parametrize(
    ("data", "mode", "said"),
    [
        (b"", 0o600, "is empty"),
        (b" \n", 0o600, "is empty"),
        (b"hunter2", 0o600, "does not hold a token"),
        (TEXT.encode() + b"x" * 2000, 0o600, "does not hold a token"),
        (b"\xff\xfe\x00", 0o600, "does not hold a token"),
        (TEXT.encode(), 0o640, "chmod 600"),
        (TEXT.encode(), 0o604, "chmod 600"),
    ],
    ids=["nothing", "blank", "a word", "too long", "bytes", "open to its group", "open to all"],
)
def test_a_token_file_at_fault_is_refused_by_name_and_not_shown(
    data: bytes, mode: int, said: str, tmp_path: Path
) -> None:
    with pytest.raises(BadSecret, match=said) as caught:
        read_token_file(_file(tmp_path, data, mode))
    assert "hunter2" not in caught.value.message
    assert "token" in caught.value.message


def test_a_token_file_that_can_not_be_opened_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadSecret, match="can't be read"):
        read_token_file(tmp_path / "none")
    with pytest.raises(BadSecret, match="can't be read"):
        read_token_file(tmp_path)
    if os.geteuid() != 0:
        with pytest.raises(BadSecret, match="can't be read"):
            read_token_file(_file(tmp_path, TEXT.encode(), 0))
