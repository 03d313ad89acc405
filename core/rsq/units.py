"""Sizes and durations as people write them."""

from __future__ import annotations

import re

from rsq.errors import BadInput

_FACTORS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", re.ASCII)
_SECONDS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|[smh]?)\s*", re.ASCII | re.IGNORECASE)
_MAX_SIZE_TEXT = 32


def parse_size(text: str) -> int:
    """Bytes in a size such as "2GB" (2 * 10^9), "1.5 GiB" or "1048576"; case-insensitive.

    Raises BadInput for anything else, and for sizes that come to less than one byte.
    """
    match = _SIZE.fullmatch(text) if len(text) <= _MAX_SIZE_TEXT else None
    factor = _FACTORS.get(match.group(2).upper()) if match else None
    if match is None or factor is None:
        raise BadInput(
            f"{text[:_MAX_SIZE_TEXT]!r} is not a size; write one like 2GB, 512MiB or 1048576."
        )
    whole, _, fraction = match.group(1).partition(".")
    scale: int = 10 ** len(fraction)
    size_bytes = int(whole) * factor + int(fraction or "0") * factor // scale
    if size_bytes < 1:
        raise BadInput(f"{text!r} is less than one byte.")
    return size_bytes


def parse_seconds(text: str) -> float:
    """Seconds in a duration such as "60s", "5m", "200ms" or "90". Raises BadInput for anything
    else, and for 0."""
    match = _DURATION.fullmatch(text) if len(text) <= _MAX_SIZE_TEXT else None
    seconds = float(match.group(1)) * _SECONDS[match.group(2).lower()] if match else 0.0
    if seconds <= 0:
        raise BadInput(f"{text[:_MAX_SIZE_TEXT]!r} is not a time; write one like 60s, 5m or 1h.")
    return seconds


def format_size(size_bytes: int) -> str:
    """A size with three significant digits in decimal units: 97.4 MB, 1.32 GB."""
    value = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def format_seconds(seconds: float) -> str:
    """A duration for people: 0.8 s, 42 s, 3 min 05 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"
