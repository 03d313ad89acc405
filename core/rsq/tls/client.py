"""The side that calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from rsq.errors import BadInput, BadSecret
from rsq.tls.files import read_pem

_BEGIN_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True)
class ClientTls:
    """Whom to trust, and what to show to a server that asks who calls.

    `ca` None: the authorities that the system trusts. `certificate` and `key` go together. The
    files are read when a channel is opened.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise BadInput("A client's certificate and its private key go together.")

    def grpc_credentials(self) -> grpc.ChannelCredentials:
        """Raises BadSecret for a file at fault."""
        roots = self.read_roots()
        if self.certificate is None or self.key is None:
            return grpc.ssl_channel_credentials(roots)
        from rsq.tls.certificates import read_key_pair

        pair = read_key_pair(self.certificate, self.key)
        return grpc.ssl_channel_credentials(roots, pair.key, pair.certificate)

    def read_roots(self) -> bytes | None:
        """PEM; None for those of the system. Raises BadSecret."""
        if self.ca is None:
            return _system_roots()
        pem = read_pem(self.ca, "certificate authority")
        if _BEGIN_CERTIFICATE not in pem:
            raise BadSecret(f"{self.ca} does not hold a certificate in PEM.")
        return pem


def _system_roots() -> bytes | None:
    """grpc brings a list of its own instead of the system's, so it is told."""
    import ssl

    file = ssl.get_default_verify_paths().cafile
    return Path(file).read_bytes() if file is not None else None
