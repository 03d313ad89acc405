"""The agent's bearer tokens: HOME/tokens.json, without their secrets. An agent has no database."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsq.durable import disk_failures, make_folder, write_durably
from rsq.errors import BadInput, EnvironmentFault, NotFound
from rsq.tokens import Scope, StoredToken

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = 1
MAX_FILE_BYTES = 1 << 20
_ID = re.compile(r"[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
LOCK_SECONDS = 10.0


class TokenFile:
    """A `rsq.tokens.TokenStore` in the agent's folder. A file that can't be read admits nobody:
    every method raises EnvironmentFault for it."""

    def __init__(self, home: Path) -> None:
        self._path = home / "tokens.json"

    def add(self, token: StoredToken) -> None:
        with self._locked():
            known = self.tokens()
            if any(row.name == token.name and row.is_good(token.created_at) for row in known):
                raise BadInput(
                    f"There is a token {token.name!r} already; choose another name or revoke it."
                )
            self._write([*known, token])

    def find(self, token_id: str) -> StoredToken | None:
        return next((token for token in self.tokens() if token.id == token_id), None)

    def tokens(self) -> list[StoredToken]:
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return []
        except OSError as e:
            raise EnvironmentFault(f"{self._path} can't be read ({e.strerror}).") from e
        try:
            return _parse(data)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
            raise EnvironmentFault(
                f"{self._path} is damaged or of a newer release; no token is accepted. Move it "
                "away and create the tokens again."
            ) from e

    def revoke(self, name_or_id: str, now: datetime) -> StoredToken:
        with self._locked():
            known = self.tokens()
            for index, token in enumerate(known):
                if name_or_id in (token.name, token.id) and token.is_good(now):
                    known[index] = replace(token, revoked_at=now)
                    self._write(known)
                    return known[index]
        raise NotFound(f"No token that is still good is called {name_or_id!r}.")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        with disk_failures(f"{self._path} can't be written"):
            make_folder(self._path.parent)
            lock = FileLock(self._path.with_suffix(".lock"))
            try:
                lock.acquire(timeout=LOCK_SECONDS)
            except Timeout as e:
                raise EnvironmentFault(f"Another command is changing {self._path}.") from e
            try:
                yield
            finally:
                lock.release()

    def _write(self, tokens: list[StoredToken]) -> None:
        rows = [_to_json(token) for token in tokens]
        data = json.dumps({"schema": SCHEMA, "tokens": rows}, indent=2).encode()
        if len(data) > MAX_FILE_BYTES:
            raise BadInput(f"{self._path} is full; it holds {len(tokens)} tokens.")
        write_durably(self._path, data)


def _parse(data: bytes) -> list[StoredToken]:
    if len(data) > MAX_FILE_BYTES:
        raise ValueError
    document = json.loads(data)
    if document["schema"] != SCHEMA:
        raise ValueError
    return [_from_json(row) for row in document["tokens"]]


def _from_json(row: dict[str, Any]) -> StoredToken:
    if not _ID.fullmatch(row["id"]) or not _SHA256.fullmatch(row["secret_sha256"]):
        raise ValueError
    created = _moment(row["created_at"])
    if created is None:
        raise ValueError
    return StoredToken(
        row["id"],
        str(row["name"]),
        row["secret_sha256"],
        frozenset(Scope(scope) for scope in row["scopes"]),
        created,
        _moment(row["expires_at"]),
        _moment(row["revoked_at"]),
    )


def _to_json(token: StoredToken) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "secret_sha256": token.secret_sha256,
        "scopes": sorted(token.scopes),
        "created_at": _text(token.created_at),
        "expires_at": _text(token.expires_at),
        "revoked_at": _text(token.revoked_at),
    }


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
