"""Bearer tokens: how they are made, what is stored of them, and when one is good.

A token is `rsq_<id>_<secret>`. The id finds what is stored; of the secret, 256 random bits, only
the SHA-256 is stored: a secret that long needs no slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from rsq.errors import BadInput, BadSecret, ScopeMissing, TokenExpired, TokenRevoked, TokenUnknown

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MAX_FILE_BYTES = 1024
_FORM = re.compile(r"rsq_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


class Scope(StrEnum):
    """What a token allows. ADMIN allows everything."""

    PUBLISH = "publish"
    PULL = "pull"
    REPORT = "report"
    ADMIN = "admin"
    EMBED = "embed"
    SEARCH = "search"


@dataclass(frozen=True)
class StoredToken:
    """All that is kept of a token. Times are UTC."""

    id: str  # 12 hex digits
    name: str
    secret_sha256: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_good(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class TokenStore(Protocol):
    """Where a program keeps its tokens."""

    def add(self, token: StoredToken) -> None:
        """Raises BadInput where a token that is neither revoked nor expired has that name."""

    def find(self, token_id: str) -> StoredToken | None: ...

    def tokens(self) -> list[StoredToken]:
        """All of them, the oldest first."""

    def revoke(self, name_or_id: str, now: datetime) -> StoredToken:
        """Raises NotFound where no token that is still good is called that."""


def make_token(
    name: str, scopes: Iterable[Scope | str], *, expires_at: datetime | None, now: datetime
) -> tuple[str, StoredToken]:
    """The token's text, which nobody can ask for again, and what is stored of it.

    Raises BadInput for no scope, an unknown one, or an expiry that has passed.
    """
    if not _NAME.fullmatch(name):
        raise BadInput(f"{name[:80]!r} can't be a token's name; use letters, digits, . _ and -.")
    known = frozenset(_parse_scope(scope) for scope in scopes)
    if not known:
        raise BadInput(f"A token needs a scope: {', '.join(Scope)}.")
    if expires_at is not None and expires_at <= now:
        raise BadInput("The token would have expired already.")
    text = make_text()
    _, token_id, secret = text.split("_", 2)
    return text, StoredToken(token_id, name, _hash(secret), known, now, expires_at)


def make_text() -> str:
    """A new token's text, of which nothing is stored yet."""
    return f"rsq_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"


def check_token(text: str, find: Callable[[str], StoredToken | None], now: datetime) -> StoredToken:
    """What is stored of the token, if it is good now.

    Raises TokenUnknown, in the same words for whatever is wrong with the text, TokenRevoked,
    TokenExpired, and ScopeMissing for a stored token without any scope.
    """
    match = _FORM.fullmatch(text)
    token = find(match[1]) if match is not None else None
    if (
        match is None
        or token is None
        or not hmac.compare_digest(_hash(match[2]), token.secret_sha256)
    ):
        raise TokenUnknown("This is not a token of this service.")
    if token.revoked_at is not None:
        raise TokenRevoked(f"The token {token.name!r} was revoked; ask for a new one.")
    if token.expires_at is not None and token.expires_at <= now:
        raise TokenExpired(
            f"The token {token.name!r} expired on {token.expires_at:%Y-%m-%d %H:%M} UTC; ask for a "
            "new one."
        )
    if not token.scopes:
        raise ScopeMissing(f"The token {token.name!r} has no scope; ask for a new one.")
    return token


def allows(scopes: Iterable[str], scope: Scope) -> bool:
    """Whether `scopes` are enough for what needs `scope`."""
    return scope in scopes or Scope.ADMIN in scopes


def read_token_file(path: Path) -> str:
    """The token in a file of its own. Raises BadSecret for a file that is missing, unreadable,
    empty, too large, open to other users, or holds something else."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as e:
        raise BadSecret(f"The token file {path} can't be read ({e.strerror}).") from e
    if mode & 0o077:
        raise BadSecret(f"Other users may read the token file {path}; run: chmod 600 {path}")
    text = data.decode("ascii", "replace").strip()
    if not text:
        raise BadSecret(f"The token file {path} is empty.")
    if len(data) > _MAX_FILE_BYTES or not _FORM.fullmatch(text):
        raise BadSecret(f"The file {path} does not hold a token.")
    return text


def _parse_scope(scope: Scope | str) -> Scope:
    try:
        return Scope(scope)
    except ValueError as e:
        raise BadInput(f"{scope!r} is not a scope; there are {', '.join(Scope)}.") from e


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
