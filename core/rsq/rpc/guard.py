"""Who makes a call, and whether they may: token, scope and share, before the request is read."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import UTC, datetime

from rsq.call_record import Identity
from rsq.errors import ScopeMissing, TokenMissing, TokenUnknown
from rsq.rpc.authorization import BEARER
from rsq.rpc.limits import NO_LIMITS, Allowances, Limits
from rsq.rpc.scopes import OPEN, RULES
from rsq.tokens import Scope, StoredToken, allows, check_token, make_text

FindToken = Callable[[str], StoredToken | None]  # by its id


class Guard:
    """`find_token` None: nobody is asked for a token, and a caller is known by its address alone.

    One guard serves all doors of a program, so that a caller has one share.
    """

    def __init__(
        self,
        find_token: FindToken | None = None,
        limits: Limits = NO_LIMITS,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.own_token = make_text()  # with which the program calls itself
        self._find_token = find_token
        self._own_authorization = (BEARER + self.own_token).encode()
        self._allowances = Allowances(limits)
        self._now = now

    @property
    def asks_for_tokens(self) -> bool:
        return self._find_token is not None

    def identify(self, authorization: str, peer: str) -> Identity:
        """Raises TokenMissing, TokenUnknown, TokenExpired, TokenRevoked, and Exhausted where the
        caller has used its share."""
        if hmac.compare_digest(authorization.encode(), self._own_authorization):
            return Identity("this process")
        if peer.startswith("unix"):
            raise TokenUnknown("This socket is for the program itself.")
        if self._find_token is None:
            caller = Identity(_host_of(peer))
        else:
            token = check_token(_read_bearer(authorization), self._find_token, self._now())
            caller = Identity(token.name, token.id, token.scopes)
        self._allowances.take_call(caller.name)
        return caller

    def permit(self, caller: Identity, method: str) -> None:
        """Raises ScopeMissing for a `method` ("rsq.v1.Embedding/EmbedText") that is not for
        `caller`."""
        rule = RULES.get(method)
        self.permit_any(caller, frozenset() if rule is None else rule.scopes)

    def permit_any(self, caller: Identity, scopes: frozenset[Scope]) -> None:
        """As `permit`, for a door without RPCs: any of `scopes` suffices."""
        if caller.scopes is None or any(allows(caller.scopes, scope) for scope in scopes):
            return
        names = " or ".join(sorted(scopes)) or "a scope that no token has"
        raise ScopeMissing(f"The token {caller.name!r} may not do this; it needs {names}.")

    def take_bytes(self, caller: Identity, count: int) -> None:
        """Raises Exhausted where `caller` sends more than its share."""
        self._allowances.take_bytes(caller.name, count)


def is_open(method: str) -> bool:
    """Whether `method` answers everyone, however busy the rest is."""
    return method in OPEN


def _read_bearer(authorization: str) -> str:
    if not authorization:
        raise TokenMissing(
            "This service asks for a token; pass one with --token-file, or ask its operator."
        )
    if not authorization.startswith(BEARER):
        raise TokenUnknown("The authorization is not of the form `Bearer TOKEN`.")
    return authorization.removeprefix(BEARER)


def _host_of(peer: str) -> str:
    """The address without the port of the moment."""
    return peer.rpartition(":")[0] or peer
