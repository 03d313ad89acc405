"""Who is admitted, and under which name."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from rsq.errors import BadInput, Exhausted, ScopeMissing, TokenMissing, TokenUnknown
from rsq.rpc.guard import Guard
from rsq.rpc.limits import Limits
from rsq.rpc.security import Security
from rsq.tls import ServerTls
from rsq.tokens import Scope, make_token

NOW = datetime(2026, 11, 24, tzinfo=UTC)
TEXT, STORED = make_token("node-7", [Scope.PULL], expires_at=None, now=NOW)
PEER = "ipv4:10.0.0.5:4711"


def _guard(**fields: object) -> Guard:
    return Guard({STORED.id: STORED}.get, now=lambda: NOW, **fields)  # type: ignore[arg-type]


def test_without_tokens_a_caller_is_its_address_and_may_do_everything() -> None:
    guard = Guard()
    caller = guard.identify("", PEER)
    assert caller.name == "ipv4:10.0.0.5"
    guard.permit(caller, "rsq.v1.Registry/DeleteVersion")


def test_with_tokens_a_caller_is_its_tokens_name_and_has_its_scopes() -> None:
    guard = _guard()
    caller = guard.identify(f"Bearer {TEXT}", PEER)
    assert str(caller) == f"token node-7 ({STORED.id})"
    guard.permit(caller, "rsq.v1.Content/ReadBlob")
    with pytest.raises(ScopeMissing, match="admin"):
        guard.permit(caller, "rsq.v1.Registry/DeleteVersion")
    with pytest.raises(ScopeMissing):
        guard.permit(caller, "rsq.v1.Registry/NobodyKnows")
    with pytest.raises(ScopeMissing, match="embed"):
        guard.permit_any(caller, frozenset({Scope.EMBED}))


def test_what_is_not_a_bearer_token_is_refused() -> None:
    guard = _guard()
    with pytest.raises(TokenMissing, match="--token-file"):
        guard.identify("", PEER)
    for authorization in (TEXT, f"Basic {TEXT}", "Bearer ", "bearer\xff"):
        with pytest.raises(TokenUnknown):
            guard.identify(authorization, PEER)


def test_the_programs_own_socket_is_for_itself_alone() -> None:
    for guard in (Guard(), _guard()):
        assert guard.identify(f"Bearer {guard.own_token}", "unix:").name == "this process"
        with pytest.raises(TokenUnknown):
            guard.identify(f"Bearer {TEXT}", "unix:")
        with pytest.raises(TokenUnknown):
            guard.identify("", "unix-abstract:x")


def test_a_callers_share_is_counted_by_name_wherever_it_calls_from() -> None:
    guard = _guard(limits=Limits(calls_per_second=0.5))
    guard.identify(f"Bearer {TEXT}", PEER)
    with pytest.raises(Exhausted, match="node-7"):
        guard.identify(f"Bearer {TEXT}", "ipv4:10.9.9.9:1")


TLS = ServerTls.__new__(ServerTls)  # only whether there is one is asked


def test_a_port_that_others_reach_needs_tls_and_asks_for_tokens() -> None:
    find = {STORED.id: STORED}.get
    with pytest.raises(BadInput, match="--tls-cert"):
        Security(find_token=find).make_guard("127.0.0.1:1", "0.0.0.0:2")
    assert Security(TLS, find).make_guard("0.0.0.0:1", None).asks_for_tokens
    assert Security(TLS, find).make_guard("127.0.0.1:1", "[::]:2").asks_for_tokens
    assert not Security(TLS, find).make_guard("127.0.0.1:1", "[::1]:2").asks_for_tokens
    assert not Security(None, find, insecure=True).make_guard("0.0.0.0:1").asks_for_tokens
    asked = Security(None, find, require_token=True, insecure=True)
    assert asked.make_guard("0.0.0.0:1").asks_for_tokens
    with pytest.raises(BadInput, match="nowhere to look"):
        Security(TLS).make_guard("0.0.0.0:1")
