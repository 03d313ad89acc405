"""The side that listens."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc

from rsq.errors import RsqError
from rsq.tls.certificates import KeyPair, read_authority, read_key_pair
from rsq.tls.files import Stamp, stamp

log = logging.getLogger("rsq.tls")


@dataclass(frozen=True)
class ServerTls:
    """A certificate (PEM, leaf first), its private key, and the authority whose certificates
    callers must show, if any.

    New files take the old ones' place with the next connection, once they are in order.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def check(self) -> None:
        """Raises BadSecret, CertificateExpired and CertificateNotYetValid."""
        self._read()

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Raises as `check` does."""
        changes = _Changes(self)
        first = _configuration(changes.newest)

        # None means: as before, though the stubs don't know.
        def fetch() -> grpc.ServerCertificateConfiguration | None:
            found = changes.look()
            return _configuration(found) if found is not None else None

        return grpc.dynamic_ssl_server_credentials(
            first,
            fetch,  # type: ignore[arg-type]
            require_client_authentication=self.client_ca is not None,
        )

    def http_context(self) -> Callable[[], ssl.SSLContext]:
        """What gives the context for the next connection. Raises as `check` does."""
        changes = _Changes(self)
        context = self._context()
        lock = threading.Lock()

        def current() -> ssl.SSLContext:
            nonlocal context
            with lock:
                if changes.look() is not None:
                    context = self._context()
                return context

        return current

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        if self.client_ca is not None:
            context.load_verify_locations(self.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _read(self) -> _Files:
        return _Files(
            read_key_pair(self.certificate, self.key),
            read_authority(self.client_ca) if self.client_ca is not None else None,
        )

    def _stamps(self) -> tuple[Stamp | None, ...]:
        files = (self.certificate, self.key, self.client_ca)
        return tuple(stamp(file) for file in files if file is not None)


@dataclass(frozen=True)
class _Files:
    pair: KeyPair
    client_ca: bytes | None


class _Changes:
    """What was read last, and whether there is something newer. Safe for threads."""

    def __init__(self, tls: ServerTls) -> None:
        self._tls = tls
        self._lock = threading.Lock()
        self._stamps = tls._stamps()
        self.newest = tls._read()

    def look(self) -> _Files | None:
        """New files in order, once; None when nothing changed or when what is there can't be used:
        the old ones stay in force, and the log says why."""
        with self._lock:
            stamps = self._tls._stamps()
            if stamps == self._stamps:
                return None
            self._stamps = stamps
            try:
                found = self._tls._read()
            except RsqError as e:
                log.warning("the certificate in use stays: %s", e.message)
                return None
            if self._tls._stamps() != stamps:
                self._stamps = ()  # changed while they were read: look again
                return None
            if found == self.newest:
                return None
            self.newest = found
            log.info("a new certificate is in use: %s", self._tls.certificate)
            return found


def _configuration(files: _Files) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(files.pair.key, files.pair.certificate)], root_certificates=files.client_ca
    )
