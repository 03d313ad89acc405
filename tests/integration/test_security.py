"""A server and an agent that others reach: TLS and tokens at every door, end to end."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from certificates import Authority
from tiny_artifacts import build_artifact, encode_image
from tiny_node import stock
from tiny_registry import store_version

from rsq import token_cache
from rsq.audit import read_audit
from rsq.care_client import CareClient
from rsq.client import Client
from rsq.errors import (
    BadInput,
    Exhausted,
    RsqError,
    ScopeMissing,
    TokenMissing,
    TokenRevoked,
    Unauthenticated,
)
from rsq.retrieval import IndexItem
from rsq.rpc import agent as agent_rpc
from rsq.rpc.endpoint import Endpoint
from rsq.rpc.limits import Limits
from rsq.rpc.registry import RegistryClient
from rsq.rpc.trust import TrustClient
from rsq.tls import ClientTls, ServerTls
from rsq.tokens import Scope, TokenStore, make_token
from rsq_agent.app import Agent
from rsq_agent.cache import Cache
from rsq_agent.cli.main import app as agent_app
from rsq_agent.config import AgentConfig
from rsq_agent.pulling.pull_process import pull_arguments
from rsq_agent.state import NodeState, load_state, save_state
from rsq_agent.token_file import TokenFile
from rsq_server.app import Stores, open_stores, run_server
from rsq_server.config import ServerConfig


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls(authority: Authority) -> ServerTls:
    issued = authority.issue()
    return ServerTls(issued.certificate, issued.key)


def _token(store: TokenStore, folder: Path, *scopes: Scope, name: str | None = None) -> Path:
    name = name or "-".join(scopes)
    text, token = make_token(name, scopes, expires_at=None, now=datetime.now(UTC))
    store.add(token)
    path = folder / f"{name}.token"
    path.touch(0o600)
    path.write_text(text)
    return path


class Server:
    """One that listens on every interface, with a version in it."""

    def __init__(self, stores: Stores, address: str, authority: Authority, folder: Path) -> None:
        self.stores = stores
        port = address.rpartition(":")[2]
        self._endpoint = Endpoint(f"127.0.0.1:{port}", ClientTls(authority.file))
        self._folder = folder

    def as_who(self, *scopes: Scope) -> Endpoint:
        token = _token(self.stores.tokens, self._folder, *scopes) if scopes else None
        return replace(self._endpoint, token=token)


@pytest.fixture
def server(tmp_path: Path, tls: ServerTls, authority: Authority) -> Iterator[Server]:
    config = ServerConfig(tmp_path / "server", listen="0.0.0.0:0", tls=tls)
    with open_stores(config) as stores:
        store_version(stores, tmp_path / "tiny")
        with run_server(stores, config) as running:
            yield Server(stores, running.address, authority, tmp_path)


def test_a_server_that_others_reach_answers_good_tokens_only(server: Server) -> None:
    with RegistryClient(server.as_who()) as stranger, pytest.raises(TokenMissing):
        stranger.models()
    with RegistryClient(server.as_who(Scope.PULL)) as node:
        assert [row.name for row in node.models()] == ["tiny"]
        version = node.version("tiny")
        assert node.manifest(version.artifacts[0].id)
        with pytest.raises(ScopeMissing, match="publish"):
            node.set_alias("tiny", "production", 1)
    with TrustClient(server.as_who()) as stranger_too, pytest.raises(TokenMissing):
        stranger_too.add({})


def test_a_revocation_is_felt_while_the_connection_stays(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_cache, "SECONDS", 0.0)
    with RegistryClient(server.as_who(Scope.PULL)) as node:
        assert node.models()
        server.stores.tokens.revoke("pull", datetime.now(UTC))
        with pytest.raises(TokenRevoked, match="pull"):
            node.models()


def test_what_changes_something_is_audited_with_its_caller(server: Server, tmp_path: Path) -> None:
    with RegistryClient(server.as_who(Scope.PUBLISH, Scope.PULL)) as publisher:
        publisher.models()
        publisher.set_alias("tiny", "production", 1)
        history = publisher.alias_history("tiny")
        with pytest.raises(ScopeMissing):
            publisher.delete_version("tiny", 1)
    with RegistryClient(server.as_who()) as stranger, pytest.raises(TokenMissing):
        stranger.set_alias("tiny", "production", 1)
    assert history[-1].by.startswith("token publish-pull (")
    entries = [(e["caller"], e["method"], e["code"]) for e in read_audit(tmp_path / "server")]
    assert entries == [
        ("publish-pull", "rsq.v1.Registry/SetAlias", "OK"),
        ("publish-pull", "rsq.v1.Registry/DeleteVersion", "PERMISSION_DENIED"),
    ]
    first = next(read_audit(tmp_path / "server"))
    assert first["request"] == {"model": "tiny", "alias": "production", "version": 1}


def test_a_caller_over_its_rate_is_told_when_to_come_again(
    tmp_path: Path, tls: ServerTls, authority: Authority
) -> None:
    config = ServerConfig(
        tmp_path / "server", listen="127.0.0.1:0", limits=Limits(calls_per_second=0.1)
    )
    with (
        open_stores(config) as stores,
        run_server(stores, config) as running,
        RegistryClient(running.address) as client,
    ):
        client.models()
        with pytest.raises(Exhausted) as caught:
            client.models()
        assert caught.value.retry_after_seconds == pytest.approx(10, rel=0.1)


class Node:
    """A secured agent that serves a tiny model at every door."""

    def __init__(self, agent: Agent, authority: Authority, folder: Path) -> None:
        self.agent = agent
        self.store = TokenFile(agent.config.home)
        self.ca = authority.file
        self._folder = folder

    def as_who(self, *scopes: Scope) -> Endpoint:
        port = self.agent.address.rpartition(":")[2]
        token = _token(self.store, self._folder, *scopes) if scopes else None
        return Endpoint(f"127.0.0.1:{port}", ClientTls(self.ca), token)

    def ask(self, address: str | None, path: str, *, token: Path | None = None) -> tuple[int, str]:
        assert address is not None
        connection = http.client.HTTPSConnection(
            "127.0.0.1",
            int(address.rpartition(":")[2]),
            context=ssl.create_default_context(cafile=str(self.ca)),
            timeout=20,
        )
        headers = {"Authorization": f"Bearer {token.read_text()}"} if token else {}
        connection.request("GET", path, headers=headers)
        reply = connection.getresponse()
        try:
            return reply.status, reply.read().decode()
        finally:
            connection.close()


@pytest.fixture
def node(tmp_path: Path, tls: ServerTls, authority: Authority) -> Iterator[Node]:
    cache = Cache(tmp_path / "agent")
    parts = [build_artifact(tmp_path / "v", "vision"), build_artifact(tmp_path / "t", "text")]
    save_state(cache, NodeState().activate(stock(cache, parts)))
    config = AgentConfig(
        home=cache.home,
        threads=1,
        listen="0.0.0.0:0",
        http="0.0.0.0:0",
        metrics="0.0.0.0:0",
        mirror=True,
        tls=tls,
    )
    with Agent(config) as agent:
        agent.load(None)
        yield Node(agent, authority, tmp_path)


def test_an_agent_opens_to_each_scope_what_is_its_own(node: Node) -> None:
    assert node.agent.is_answering()
    with Client(node.as_who()) as stranger:
        assert stranger.is_serving()
        with pytest.raises(TokenMissing):
            stranger.embed_text(["a port"])
    with Client(node.as_who(Scope.EMBED)) as embedder:
        assert len(embedder.embed_text(["a port"])) == 1
        with pytest.raises(ScopeMissing, match="search"):
            embedder.search(text="a port")
    with Client(node.as_who(Scope.PUBLISH)) as writer:
        (outcome,) = writer.index([IndexItem("a.png", encode_image((1, 2, 3)))])
        assert outcome.error is None
    with Client(node.as_who(Scope.SEARCH)) as reader:
        (hit,) = reader.search(text="a port")
        assert hit.uri == "a.png"
        with pytest.raises(ScopeMissing):
            reader.delete(["a.png"])
    with CareClient(replace(node.as_who(), token=None)) as care, pytest.raises(TokenMissing):
        care.check_recall("default")
    with pytest.raises(ScopeMissing):
        agent_rpc.unload(node.as_who(Scope.REPORT), "tiny")
    agent_rpc.unload(node.as_who(Scope.ADMIN), "tiny")
    audited = [(e["caller"], e["method"]) for e in read_audit(node.agent.config.home)]
    assert ("publish", "rsq.v1.Retrieval/Index") in audited
    assert ("admin", "rsq.v1.Agent/Unload") in audited


def test_a_mirror_gives_to_nodes_that_may_pull(node: Node) -> None:
    wanted = load_state(Cache(node.agent.config.home)).activation(None).artifacts[0]
    with RegistryClient(node.as_who()) as stranger, pytest.raises(TokenMissing):
        stranger.manifest(wanted)
    with RegistryClient(node.as_who(Scope.PULL)) as puller:
        assert puller.manifest(wanted)


def test_http_and_metrics_ask_for_the_same_tokens_over_tls(node: Node, tmp_path: Path) -> None:
    http_address, metrics = node.agent.http_address, node.agent.metrics_address
    embed = _token(node.store, tmp_path, Scope.EMBED)
    report = _token(node.store, tmp_path, Scope.REPORT)
    assert node.ask(http_address, "/healthz")[0] == 200
    assert node.ask(http_address, "/v1/models")[0] == 401
    assert node.ask(http_address, "/v1/models", token=report)[0] == 403
    status, body = node.ask(http_address, "/v1/models", token=embed)
    assert status == 200
    assert json.loads(body)["data"][0]["id"] == "tiny"
    assert node.ask(metrics, "/metrics")[0] == 401
    assert node.ask(metrics, "/metrics", token=embed)[0] == 403
    status, body = node.ask(metrics, "/metrics", token=report)
    assert status == 200
    assert "rsq_uptime_seconds" in body


def test_a_client_that_never_shakes_hands_stops_nobody(node: Node) -> None:
    assert node.agent.http_address is not None
    port = int(node.agent.http_address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)):
        assert node.ask(node.agent.http_address, "/healthz")[0] == 200


def test_a_process_of_the_agent_reaches_it_without_a_token_of_the_operators(
    node: Node, tmp_path: Path
) -> None:
    cache = Cache(node.agent.config.home)
    active = load_state(cache).activation(None)
    own = node.agent._own_endpoint()
    arguments = pull_arguments(cache, active, 2, node.agent.config, agent=own)
    given = dict(zip(arguments[3::2], arguments[4::2], strict=False))
    assert given["--agent"].startswith("unix-abstract:")
    file = Path(given["--agent-token-file"])
    assert file.stat().st_mode & 0o077 == 0
    assert agent_rpc.read_status(Endpoint(given["--agent"], token=file)).model == "tiny"
    agent_rpc.unload(Endpoint(given["--agent"], token=file), "tiny")
    with pytest.raises(Unauthenticated):
        agent_rpc.read_status(given["--agent"])


def test_the_commands_take_ca_and_token_from_options_and_environment(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = node.as_who().address
    token = _token(node.store, tmp_path, Scope.SEARCH, name="cli")
    status = ["status", "--agent", address, "--json"]
    given = ["--tls-ca", str(node.ca), "--token-file", str(token)]
    agent_app([*status, *given], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["model"] == "tiny"
    monkeypatch.setenv("RSQ_TLS_CA", str(node.ca))
    with pytest.raises(TokenMissing):
        agent_app(status, standalone_mode=False)
    monkeypatch.setenv("RSQ_AGENT_TOKEN_FILE", str(token))
    agent_app(status, standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["model"] == "tiny"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tls-client-cert", "x.pem"], "go together"),
        (["--tls-client-cert", "x.pem", "--tls-client-key", "x.key"], "--tls-ca"),
        (["--tls-ca", "none.pem"], "can't be read"),
        (["--token-file", "none.token"], "can't be read"),
    ],
)
def test_half_an_identity_is_refused_by_name(options: list[str], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        agent_app(["status", "--agent", "127.0.0.1:1", *options], standalone_mode=False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--tls-cert"),
        (["--tls-cert", "x.pem"], "go together"),
        (["--tls-client-ca", "x.pem"], "needs --tls-cert"),
        (["--tls-cert", "none.pem", "--tls-key", "none.key"], "can't be read"),
    ],
)
def test_an_agent_does_not_start_in_the_open(
    options: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RSQ_HOME", str(tmp_path))
    with pytest.raises(BadInput, match=said):
        agent_app(["serve", "--listen", "0.0.0.0:0", *options], standalone_mode=False)


def test_tokens_are_made_listed_and_revoked_by_the_commands_of_both_programs(
    tmp_path: Path,
) -> None:
    environment = {"RSQ_HOME": str(tmp_path), "PATH": ""}
    for package, scope in (("rsq_server", "pull"), ("rsq_agent", "search")):

        def run(*arguments: str, package: str = package) -> subprocess.CompletedProcess[str]:
            program = f"from {package}.cli.main import main; main()"
            return subprocess.run(
                [sys.executable, "-c", program, "token", *arguments],
                capture_output=True,
                text=True,
                env=environment,
                timeout=120,
            )

        made = run("create", "laptop", "--scope", scope)
        text = made.stdout.strip()
        assert text.startswith("rsq_")
        assert text not in made.stderr
        file = tmp_path / f"{package}.token"
        assert run("create", "file", "--scope", scope, "--out", str(file)).stdout == ""
        assert file.stat().st_mode & 0o077 == 0
        assert run("create", "more", "--scope", scope, "--out", str(file)).returncode == 13
        assert run("create", "laptop", "--scope", scope).returncode == 2
        assert run("create", "nobody").returncode == 2
        assert run("revoke", "laptop").returncode == 0
        assert run("revoke", "laptop").returncode == 3
        rows = json.loads(run("list", "--json").stdout)["tokens"]
        states = {row["name"]: row["state"] for row in rows}
        assert states == {"laptop": "revoked", "file": "good"}
        assert text not in str(rows)


def test_many_callers_at_once_are_each_known_by_their_own_name(
    server: Server, tmp_path: Path
) -> None:
    whos = [server.as_who(Scope.PUBLISH)] + [
        replace(
            server.as_who(),
            token=_token(server.stores.tokens, tmp_path, Scope.PUBLISH, name=f"ci-{number}"),
        )
        for number in range(3)
    ]
    failures: list[RsqError] = []

    def move(who: Endpoint, alias: str) -> None:
        try:
            with RegistryClient(who) as client:
                for _ in range(5):
                    client.set_alias("tiny", alias, 1)
        except RsqError as e:
            failures.append(e)

    threads = [
        threading.Thread(target=move, args=(who, f"a{number}")) for number, who in enumerate(whos)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    seen = {(e["caller"], e["request"]["alias"]) for e in read_audit(tmp_path / "server")}
    assert seen == {("publish", "a0"), ("ci-0", "a1"), ("ci-1", "a2"), ("ci-2", "a3")}
