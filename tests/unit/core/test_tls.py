"""TLS between two of us: who is trusted, what ends in which error, and certificates that change
while a server runs."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from certificates import DAY, Authority, Issued
from cryptography import x509

from rsq.errors import (
    BadInput,
    BadSecret,
    CertificateExpired,
    CertificateNotYetValid,
    CertificateUntrusted,
    CertificateWrongHost,
    RsqError,
    TokenUnknown,
    Unauthenticated,
    Unreachable,
)
from rsq.rpc.addresses import split_address
from rsq.rpc.channel import open_channel, translate_errors
from rsq.rpc.endpoint import Endpoint, Target
from rsq.rpc.health import is_serving
from rsq.rpc.security import Security
from rsq.rpc.server import RpcServer
from rsq.tls import ClientTls, ServerTls


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def _serve(tls: ServerTls | None) -> Iterator[str]:
    server = RpcServer([], listen="127.0.0.1:0", security=Security(tls=tls))
    server.start()
    server.set_serving(True)
    try:
        yield server.address
    finally:
        server.stop()


def _tls(issued: Issued, client_ca: Path | None = None) -> ServerTls:
    return ServerTls(issued.certificate, issued.key, client_ca)


def _call(target: Target, tls: ClientTls | None = None) -> None:
    """Any call that is there always."""
    endpoint = target if isinstance(target, Endpoint) else Endpoint(target, tls)
    with open_channel(endpoint) as channel, translate_errors(endpoint):
        reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        list(channel.stream_stream(reflection)(iter([b""]), timeout=10))


def test_a_trusted_server_is_called_and_its_own_process_reaches_it(authority: Authority) -> None:
    with _serve(_tls(authority.issue())) as address:
        _call(address, ClientTls(authority.file))
        assert is_serving(Endpoint(address, ClientTls(authority.file)), "")


def test_a_server_on_tls_reaches_itself_without_a_certificate(authority: Authority) -> None:
    tls = _tls(authority.issue(hosts=("edge.example",)), authority.file)
    server = RpcServer([], listen="127.0.0.1:0", security=Security(tls=tls))
    server.start()
    server.set_serving(True)
    try:
        assert is_serving(server.own_endpoint, "")
        _call(server.own_endpoint)
        with pytest.raises(TokenUnknown):
            _call(server.own_endpoint.address)
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"until": -DAY, "since": -2 * DAY}, CertificateExpired),
        ({"since": DAY, "until": 2 * DAY}, CertificateNotYetValid),
        ({"hosts": ("edge.example", "192.0.2.7")}, CertificateWrongHost),
    ],
)
def test_a_servers_certificate_at_fault_is_refused_by_name(
    authority: Authority, fault: dict[str, object], error: type[RsqError], tmp_path: Path
) -> None:
    issued = authority.issue("bad", **fault)  # type: ignore[arg-type]
    # A server that checks would not start with some of them; one of another make would.
    server = grpc.server(_pool())
    credentials = grpc.ssl_server_credentials(
        [(issued.key.read_bytes(), issued.certificate.read_bytes())]
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        with pytest.raises(error, match=f"127.0.0.1:{port}"):
            _call(f"127.0.0.1:{port}", ClientTls(authority.file))
    finally:
        server.stop(None)


def _pool() -> object:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(2)


def test_a_server_of_another_authority_is_not_trusted(authority: Authority, tmp_path: Path) -> None:
    foreign = Authority(tmp_path, "foreign")
    with (
        _serve(_tls(foreign.issue())) as address,
        pytest.raises(CertificateUntrusted, match=r"ca\.pem"),
    ):
        _call(address, ClientTls(authority.file))


def test_plaintext_and_tls_find_each_other_out(authority: Authority) -> None:
    with (
        _serve(_tls(authority.issue())) as address,
        pytest.raises(Unauthenticated, match="--tls-ca"),
    ):
        _call(address, None)
    with _serve(None) as address, pytest.raises(Unreachable, match="does not speak TLS"):
        _call(address, ClientTls(authority.file))


def test_mutual_tls_lets_in_who_has_a_certificate_of_the_authority(
    authority: Authority, tmp_path: Path
) -> None:
    client, foreign = authority.issue("client"), Authority(tmp_path, "foreign").issue("stranger")
    with _serve(_tls(authority.issue(), authority.file)) as address:
        _call(address, ClientTls(authority.file, client.certificate, client.key))
        with pytest.raises(Unauthenticated, match="--tls-client-cert"):
            _call(address, ClientTls(authority.file))
        with pytest.raises(CertificateUntrusted):
            _call(address, ClientTls(authority.file, foreign.certificate, foreign.key))


@pytest.mark.parametrize(
    ("since", "until", "error"),
    [(-2 * DAY, -DAY, CertificateExpired), (DAY, 2 * DAY, CertificateNotYetValid)],
)
def test_a_server_does_not_start_with_a_certificate_out_of_its_time(
    authority: Authority, since: timedelta, until: timedelta, error: type[RsqError]
) -> None:
    tls = _tls(authority.issue(since=since, until=until))
    with pytest.raises(error, match=r"server\.pem"):
        RpcServer([], listen="127.0.0.1:0", security=Security(tls=tls))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: b"", "is empty"),
        (lambda data: data[: len(data) // 2], "cut off"),
        (lambda data: b"\x00\xff" * 200, "cut off"),
    ],
)
def test_a_damaged_key_is_refused_by_name(authority: Authority, damage: object, said: str) -> None:
    issued = authority.issue()
    issued.key.write_bytes(damage(issued.key.read_bytes()))  # type: ignore[operator]
    with pytest.raises(BadSecret, match=said):
        _tls(issued).check()


def test_missing_foreign_and_locked_keys_are_told_apart(authority: Authority) -> None:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    first, other = authority.issue("first"), authority.issue("other")
    with pytest.raises(BadSecret, match="does not belong"):
        ServerTls(first.certificate, other.key).check()
    with pytest.raises(BadSecret, match="can't be read"):
        ServerTls(first.certificate, first.key.with_name("none.key")).check()
    with pytest.raises(BadSecret, match="does not hold a certificate"):
        ServerTls(first.key, first.key).check()
    key = load_pem_private_key(first.key.read_bytes(), None)
    first.key.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    )
    with pytest.raises(BadSecret, match="password"):
        _tls(first).check()


def test_a_caller_needs_both_halves_and_files_that_are_there(
    authority: Authority, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="go together"):
        ClientTls(authority.file, certificate=tmp_path / "x.pem")
    with pytest.raises(BadSecret, match="can't be read"):
        open_channel(Endpoint("127.0.0.1:1", ClientTls(tmp_path / "none.pem")))
    (tmp_path / "words.pem").write_text("not a certificate")
    with pytest.raises(BadSecret, match="does not hold a certificate"):
        open_channel(Endpoint("127.0.0.1:1", ClientTls(tmp_path / "words.pem")))


def _serial(address: str, authority: Authority) -> int:
    host, port = split_address(address)
    pem = ssl.get_server_certificate((host, port), ca_certs=str(authority.file))
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def _serial_of(issued: Issued) -> int:
    return x509.load_pem_x509_certificate(issued.certificate.read_bytes()).serial_number


def test_a_new_certificate_is_shown_without_a_restart_and_calls_go_on(
    authority: Authority,
) -> None:
    issued = authority.issue()
    with _serve(_tls(issued)) as address:
        endpoint = Endpoint(address, ClientTls(authority.file))
        with open_channel(endpoint) as channel:
            before = channel.unary_unary("/grpc.health.v1.Health/Check")
            before(b"", timeout=10)
            first = _serial(address, authority)
            authority.issue()  # into the same files
            assert _serial(address, authority) == _serial_of(issued) != first
            before(b"", timeout=10)


def test_a_new_certificate_at_fault_leaves_the_old_one_in_force(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    issued = authority.issue()
    with _serve(_tls(issued)) as address, caplog.at_level(logging.WARNING, "rsq.tls"):
        first = _serial(address, authority)
        half = issued.key.read_bytes()[:60]
        authority.issue()
        issued.key.write_bytes(half)
        assert _serial(address, authority) == first
        assert "stays" in caplog.text
        assert "cut off" in caplog.text
        authority.issue()
        assert _serial(address, authority) == _serial_of(issued)


def test_an_http_context_changes_with_its_files(authority: Authority) -> None:
    issued = authority.issue()
    contexts = _tls(issued, authority.file).http_context()
    first = contexts()
    assert contexts() is first
    assert first.verify_mode is ssl.CERT_REQUIRED
    authority.issue()
    assert contexts() is not first


def test_a_token_never_crosses_a_network_unencrypted() -> None:
    Endpoint("127.0.0.1:7100", token="x")
    Endpoint("unix-abstract:x", token="x")
    with pytest.raises(BadInput, match="unencrypted"):
        Endpoint("10.0.0.5:7100", token="x")
    assert "secret" not in repr(Endpoint("127.0.0.1:7100", token="secret"))
