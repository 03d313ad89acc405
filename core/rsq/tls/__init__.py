"""TLS for both sides of a connection. A side that only calls needs no more than grpc and the
standard library; one that listens reads its certificates with `cryptography`."""

from rsq.tls.client import ClientTls
from rsq.tls.handshake import diagnose, speaks_tls
from rsq.tls.server import ServerTls

__all__ = ["ClientTls", "ServerTls", "diagnose", "speaks_tls"]
