"""Whom to call and how to prove who calls: an address, TLS and a token."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rsq.errors import BadInput
from rsq.rpc.addresses import is_loopback, split_address
from rsq.tokens import read_token_file

if TYPE_CHECKING:
    from rsq.tls import ClientTls


@dataclass(frozen=True)
class Endpoint:
    """A server or agent at HOST:PORT, or on a socket of this machine as unix-abstract:NAME.

    Raises BadInput for a malformed address, and for a token that would cross a network unencrypted.
    """

    address: str
    tls: ClientTls | None = None  # None: plaintext
    token: str | Path | None = field(default=None, repr=False)  # itself, or the file that holds it

    def __post_init__(self) -> None:
        if self.is_local_socket:
            return
        host, _ = split_address(self.address)
        if self.token is not None and self.tls is None and not is_loopback(host):
            raise BadInput(
                f"The token would travel to {self.address} unencrypted. Add --tls-ca FILE with the "
                "certificate authority of that server."
            )

    def __str__(self) -> str:
        return self.address

    @property
    def is_local_socket(self) -> bool:
        return self.address.startswith("unix")

    def read_token(self) -> str | None:
        """Raises BadSecret for a file that holds none."""
        return read_token_file(self.token) if isinstance(self.token, Path) else self.token


Target = str | Endpoint  # a str is an address without TLS and token


def to_endpoint(target: Target) -> Endpoint:
    return target if isinstance(target, Endpoint) else Endpoint(target)
