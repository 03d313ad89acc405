"""Why a TLS connection fails: grpc only says that it does, so the handshake is made once more with
what can tell."""

from __future__ import annotations

import socket
import ssl

from rsq.errors import (
    CertificateExpired,
    CertificateNotYetValid,
    CertificateUntrusted,
    CertificateWrongHost,
    RsqError,
    Unauthenticated,
    Unreachable,
)
from rsq.tls.client import ClientTls

# X509_V_ERR_* of OpenSSL.
_NOT_YET_VALID, _EXPIRED, _WRONG_HOST, _WRONG_ADDRESS = 9, 10, 62, 64
# Alerts that a server sends about its caller's certificate.
_REFUSED_CALLER = (
    "CERTIFICATE_REQUIRED",
    "HANDSHAKE_FAILURE",
    "UNKNOWN_CA",
    "BAD_CERTIFICATE",
    "CERTIFICATE_UNKNOWN",
    "CERTIFICATE_EXPIRED",
)
ALPN = ["h2"]


def diagnose(host: str, port: int, tls: ClientTls, timeout_seconds: float) -> RsqError | None:
    """What is wrong with a TLS connection to `host`; None where nothing is, or nothing answers.

    Raises BadSecret for a file of `tls` at fault.
    """
    where = f"{host}:{port}"
    context = _context(tls)
    try:
        with (
            socket.create_connection((host, port), timeout_seconds) as plain,
            context.wrap_socket(plain, server_hostname=host) as found,
        ):
            dropped = _is_dropped(found, timeout_seconds)
    except ssl.SSLCertVerificationError as e:
        return _judge(e, where, tls)
    except ssl.SSLError as e:
        return _explain(e, where, tls)
    except OSError:
        return None
    return _refused_caller(where, tls) if dropped else None


def speaks_tls(host: str, port: int, timeout_seconds: float) -> bool:
    """Whether what listens there answers a TLS handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(ALPN)
    try:
        with (
            socket.create_connection((host, port), timeout_seconds) as plain,
            context.wrap_socket(plain),
        ):
            return True
    except OSError:
        return False


def _context(tls: ClientTls) -> ssl.SSLContext:
    roots = tls.read_roots()
    context = ssl.create_default_context(cadata=roots.decode("ascii", "replace") if roots else None)
    context.set_alpn_protocols(ALPN)
    if tls.certificate is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    return context


def _judge(failure: ssl.SSLCertVerificationError, where: str, tls: ClientTls) -> RsqError:
    code = failure.verify_code
    if code == _EXPIRED:
        return CertificateExpired(
            f"The certificate of {where} has expired; its operator must put a new one in place."
        )
    if code == _NOT_YET_VALID:
        return CertificateNotYetValid(
            f"The certificate of {where} is not valid yet; is this machine's clock right?"
        )
    if code in (_WRONG_HOST, _WRONG_ADDRESS):
        return CertificateWrongHost(
            f"The certificate of {where} is for another host; call it by a name that its "
            "certificate has."
        )
    trusted = tls.ca if tls.ca is not None else "the authorities that this system trusts"
    return CertificateUntrusted(
        f"The certificate of {where} was not issued by {trusted} ({failure.verify_message})."
    )


def _explain(failure: ssl.SSLError, where: str, tls: ClientTls) -> RsqError:
    reason = failure.reason or ""
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
        return Unreachable(f"{where} does not speak TLS; leave --tls-ca out, or check the port.")
    if any(word in reason for word in _REFUSED_CALLER):
        return _refused_caller(where, tls)
    return Unreachable(f"TLS with {where} failed ({reason or failure}).")


def _is_dropped(connection: ssl.SSLSocket, timeout_seconds: float) -> bool:
    """Whether the server ends the connection after the handshake: with TLS 1.3 it sees only then
    what its caller showed. One that is content speaks first, as HTTP/2 asks for."""
    connection.settimeout(timeout_seconds)
    try:
        return connection.recv(1) == b""
    except ssl.SSLError:
        raise
    except TimeoutError:
        return False
    except OSError:
        return True


def _refused_caller(where: str, tls: ClientTls) -> RsqError:
    if tls.certificate is None:
        return Unauthenticated(
            f"{where} asks callers for a certificate; show one with --tls-client-cert and "
            "--tls-client-key."
        )
    return CertificateUntrusted(
        f"{where} does not accept the certificate {tls.certificate}: another authority's, or one "
        "out of its time."
    )
