"""Every RPC of both programs against every scope, none, and no token: who may call what."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import rsq.kserve
import rsq.v1
from rsq.errors import (
    InternalError,
    RsqError,
    ScopeMissing,
    TokenExpired,
    TokenMissing,
    TokenRevoked,
    TokenUnknown,
)
from rsq.rpc import scopes
from rsq.rpc.channel import open_channel, translate_errors
from rsq.rpc.endpoint import Endpoint
from rsq.rpc.scopes import OPEN, RULES, require_rules
from rsq.rpc.security import Security
from rsq.rpc.server import RpcServer
from rsq.tokens import Scope, StoredToken, make_text, make_token

# What each scope opens, written out by hand: a new RPC must be added here by someone who thought
# about it, and a change of the table in rsq.rpc.scopes must be meant.
ALLOWED = {
    Scope.PULL: """
        rsq.v1.Registry/ListModels rsq.v1.Registry/GetVersion rsq.v1.Registry/ListAliasEvents
        rsq.v1.Content/GetManifest rsq.v1.Content/ReadBlob rsq.v1.Trust/GetMetadata
    """,
    Scope.PUBLISH: """
        rsq.v1.Registry/SetAlias rsq.v1.Registry/RemoveAlias rsq.v1.Registry/DeprecateVersion
        rsq.v1.Publishing/FindMissing rsq.v1.Publishing/GetUpload rsq.v1.Publishing/WriteBlob
        rsq.v1.Publishing/AddVersion rsq.v1.Trust/AddMetadata
        rsq.v1.Retrieval/Index rsq.v1.Retrieval/FindStored rsq.v1.Retrieval/Delete
        rsq.v1.Collections/Import
    """,
    Scope.REPORT: """
        rsq.v1.Registry/ReportNode rsq.v1.Registry/ListNodes
    """,
    Scope.EMBED: """
        rsq.v1.Embedding/EmbedText rsq.v1.Embedding/EmbedImage rsq.v1.Embedding/EmbedStream
        rsq.v1.Embedding/Classify rsq.v1.Embedding/GetModelInfo rsq.v1.Agent/GetStatus
        inference.GRPCInferenceService/ServerLive inference.GRPCInferenceService/ServerReady
        inference.GRPCInferenceService/ModelReady inference.GRPCInferenceService/ServerMetadata
        inference.GRPCInferenceService/ModelMetadata inference.GRPCInferenceService/ModelInfer
        inference.GRPCInferenceService/ModelStreamInfer
        inference.GRPCInferenceService/ModelConfig inference.GRPCInferenceService/RepositoryIndex
    """,
    Scope.SEARCH: """
        rsq.v1.Retrieval/Search rsq.v1.Retrieval/GetStats rsq.v1.Collections/Export
        rsq.v1.Collections/CheckRecall rsq.v1.Collections/ReadSnapshot
        rsq.v1.Embedding/GetModelInfo rsq.v1.Agent/GetStatus
    """,
    Scope.ADMIN: """
        rsq.v1.Registry/DeleteVersion
        rsq.v1.Agent/PlanActivation rsq.v1.Agent/Activate rsq.v1.Agent/Rollback rsq.v1.Agent/Load
        rsq.v1.Agent/Unload
        rsq.v1.Migrations/StartMigration rsq.v1.Migrations/GetMigration rsq.v1.Migrations/CutOver
        rsq.v1.Migrations/RevertMigration rsq.v1.Migrations/CancelMigration
        rsq.v1.Collections/RestoreSnapshot rsq.v1.Collections/Compact
        inference.GRPCInferenceService/RepositoryModelLoad
        inference.GRPCInferenceService/RepositoryModelUnload
    """,
}
REFLECTION = "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


def _find_services() -> dict[str, list[Any]]:
    """The methods of every service that our protocols define, by its full name."""
    found = {}
    for package in (rsq.v1, rsq.kserve):
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            if module.name.endswith("_pb2"):
                descriptor = importlib.import_module(module.name).DESCRIPTOR
                for service in descriptor.services_by_name.values():
                    found[service.full_name] = list(service.methods)
    return found


SERVICES = _find_services()
METHODS = sorted(f"{name}/{method.name}" for name in SERVICES for method in SERVICES[name])
NOW = datetime.now(UTC)


def _may(scope: Scope, method: str) -> bool:
    return scope is Scope.ADMIN or method == REFLECTION or method in ALLOWED[scope].split()


class Tokens:
    """One good token a scope, and some that are not."""

    def __init__(self) -> None:
        self.stored: dict[str, StoredToken] = {}
        self.by_scope = {scope: self.make(scope.value, [scope]) for scope in Scope}

    def make(self, name: str, given: list[Scope], **fields: object) -> str:
        text, token = make_token(name, given, expires_at=None, now=NOW)
        self.stored[token.id] = StoredToken(**{**vars(token), **fields})  # type: ignore[arg-type]
        return text


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens()


@pytest.fixture(scope="module")
def address(tokens: Tokens) -> Iterator[str]:
    """Answers every RPC of both programs with an empty message, once it is admitted."""
    security = Security(find_token=tokens.stored.get, require_token=True)
    server = RpcServer(
        [(name, _Anything(name).add) for name in SERVICES], listen="127.0.0.1:0", security=security
    )
    server.start()
    server.set_serving(True)
    yield server.address
    server.stop()


class _Anything:
    def __init__(self, service: str) -> None:
        self._service = service

    def add(self, server: grpc.Server) -> None:
        handlers = {method.name: _handler(method) for method in SERVICES[self._service]}
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(self._service, handlers),)
        )


def _handler(method: Any) -> Any:
    one = lambda request, context: b""  # noqa: E731
    many = lambda request, context: iter([b""])  # noqa: E731
    if method.server_streaming:
        if method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(many)
        return grpc.unary_stream_rpc_method_handler(many)
    if method.client_streaming:
        return grpc.stream_unary_rpc_method_handler(one)
    return grpc.unary_unary_rpc_method_handler(one)


def _call(address: str, method: str, token: str | None) -> None:
    """As a stream both ways, which reaches a handler of any kind."""
    endpoint = Endpoint(address, token=token)
    with open_channel(endpoint) as channel, translate_errors(endpoint):
        list(channel.stream_stream(f"/{method}")(iter([b""]), timeout=10))


def test_every_rpc_has_its_row_by_hand_and_no_row_is_for_nothing() -> None:
    written = {method for methods in ALLOWED.values() for method in methods.split()}
    assert written == set(METHODS)
    assert set(METHODS) | {REFLECTION} == set(RULES)


@pytest.mark.parametrize("method", [*METHODS, REFLECTION])
def test_an_rpc_is_open_to_its_scopes_and_to_nobody_else(
    method: str, tokens: Tokens, address: str
) -> None:
    with pytest.raises(TokenMissing):
        _call(address, method, None)
    for scope, token in tokens.by_scope.items():
        if _may(scope, method):
            _call(address, method, token)
        else:
            with pytest.raises(ScopeMissing, match=scope.value):
                _call(address, method, token)


def test_what_changes_something_is_for_the_audit_log_and_what_reads_is_not() -> None:
    reading = ("Get", "List", "Find", "Read", "Embed", "Search", "Classify", "Check", "Export")
    for method in METHODS:
        name = method.split("/")[1]
        if method.startswith("rsq."):
            assert RULES[method].changes != name.startswith((*reading, "PlanActivation")), method


def test_only_health_answers_without_a_token(address: str) -> None:
    assert {method.split("/")[0] for method in OPEN} == {"grpc.health.v1.Health"}
    with open_channel(address) as channel:
        reply = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=10
        )
    assert reply.status == health_pb2.HealthCheckResponse.SERVING


def test_tokens_that_are_not_good_are_refused_by_name(tokens: Tokens, address: str) -> None:
    method = "rsq.v1.Registry/ListModels"
    past = NOW - timedelta(days=1)
    good = tokens.by_scope[Scope.PULL]
    bad: list[tuple[str, type[RsqError]]] = [
        (make_text(), TokenUnknown),
        (good[:-1] + ("A" if good[-1] != "A" else "B"), TokenUnknown),
        (good.removeprefix("rsq_"), TokenUnknown),
        ("", TokenUnknown),
        ("x" * 4000, TokenUnknown),
        (tokens.make("old", [Scope.PULL], expires_at=past), TokenExpired),
        (tokens.make("gone", [Scope.PULL], revoked_at=past), TokenRevoked),
        (tokens.make("empty", [Scope.PULL], scopes=frozenset()), ScopeMissing),
    ]
    for token, error in bad:
        with pytest.raises(error):
            _call(address, method, token)


def test_a_server_does_not_start_with_an_rpc_that_has_no_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = {name: rule for name, rule in RULES.items() if name != "rsq.v1.Registry/SetAlias"}
    monkeypatch.setattr(scopes, "RULES", rules)
    with pytest.raises(InternalError, match="SetAlias"):
        require_rules(["rsq.v1.Registry"])


def test_a_strangers_request_is_not_parsed(tokens: Tokens) -> None:
    parsed: list[bytes] = []

    def add(server: grpc.Server) -> None:
        handler = grpc.unary_unary_rpc_method_handler(
            lambda request, context: b"", request_deserializer=lambda data: parsed.append(data)
        )
        handlers = {"ListModels": handler}
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("rsq.v1.Registry", handlers),)
        )

    security = Security(find_token=tokens.stored.get, require_token=True)
    server = RpcServer([("rsq.v1.Registry", add)], listen="127.0.0.1:0", security=security)
    server.start()
    try:
        with pytest.raises(TokenMissing):
            _call(server.address, "rsq.v1.Registry/ListModels", None)
        assert parsed == []
        _call(server.address, "rsq.v1.Registry/ListModels", tokens.by_scope[Scope.PULL])
        assert parsed == [b""]
    finally:
        server.stop()


def test_the_program_itself_is_always_admitted(tokens: Tokens) -> None:
    security = Security(find_token=tokens.stored.get, require_token=True)
    server = RpcServer(
        [("rsq.v1.Agent", _Anything("rsq.v1.Agent").add)], listen="127.0.0.1:0", security=security
    )
    server.start()
    try:
        own = server.own_endpoint
        with open_channel(own) as channel, translate_errors(own):
            list(channel.stream_stream("/rsq.v1.Agent/Activate")(iter([b""]), timeout=10))
        assert str(own.token) not in repr(own)
    finally:
        server.stop()
