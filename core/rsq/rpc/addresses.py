"""HOST:PORT, taken apart and judged."""

from __future__ import annotations

import ipaddress

from rsq.errors import BadInput

MAX_PORT = 65535


def split_address(address: str) -> tuple[str, int]:
    """(host, port) of "HOST:PORT"; an IPv6 host stands in brackets. Raises BadInput."""
    host, separator, port = address.rpartition(":")
    bad_ipv6 = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if not separator or not host or bad_ipv6 or not port.isdecimal() or int(port) > MAX_PORT:
        raise BadInput(f"{address!r} is not HOST:PORT; write one like 127.0.0.1:7100.")
    return host.strip("[]"), int(port)


def join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
