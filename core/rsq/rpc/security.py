"""What a program asks of whoever reaches its ports, and the rule for ports that others reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rsq.errors import BadInput
from rsq.rpc.addresses import is_loopback, split_address
from rsq.rpc.guard import FindToken, Guard
from rsq.rpc.limits import NO_LIMITS, Limits

if TYPE_CHECKING:
    from rsq.tls import ServerTls


@dataclass(frozen=True)
class Security:
    """`find_token` looks up this program's tokens; they are asked for at every port as soon as one
    of the ports is reachable from other machines, or where `require_token`. `insecure` takes both
    TLS and tokens back to being optional."""

    tls: ServerTls | None = None
    find_token: FindToken | None = None
    require_token: bool = False
    insecure: bool = False
    limits: Limits = NO_LIMITS

    def make_guard(self, *listen: str | None) -> Guard:
        """The guard of ports at these HOST:PORTs; None is a port that is not open.

        Raises BadInput for one that other machines reach over plaintext, or where there are no
        tokens to ask for, unless `insecure`.
        """
        asks = self.require_token
        for address in listen:
            if address is not None and not self.insecure and not _is_local(address):
                if self.tls is None:
                    raise BadInput(
                        f"{address} is reachable from other machines. Encrypt it with --tls-cert "
                        "and --tls-key, listen on 127.0.0.1, or pass --insecure if everyone on "
                        "that network may do everything here."
                    )
                asks = True
        if asks and self.find_token is None:
            raise BadInput("Tokens are asked for here, but there is nowhere to look them up.")
        return Guard(self.find_token if asks else None, self.limits)


OPEN_ON_LOOPBACK = Security()  # everyone on this machine may do everything


def _is_local(address: str) -> bool:
    host, _ = split_address(address)
    return is_loopback(host)
