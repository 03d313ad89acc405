"""Changes an input a little: its bytes, or a value somewhere in its JSON."""

from __future__ import annotations

import json
from random import Random
from typing import Any

MAX_BYTES = 1 << 16
_NUMBERS = (0, 1, -1, 127, 255, 1 << 31, (1 << 32) - 1, 1 << 63, 10**30, 0.5, -0.0, 1e308)
_STRINGS = ("", "a", "\0", "../../x", "/etc/passwd", "é" * 200, "0" * 64, "\ud800", "NaN", "1e999")
_VALUES = (*_NUMBERS, *_STRINGS, None, True, False, [], {}, float("nan"), float("inf"))
_BYTES = (b"\0", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80", b"{", b"[", b'"')


def mutate(data: bytes, rng: Random, *, is_json: bool) -> bytes:
    """`data` with one to four changes."""
    for _ in range(rng.randint(1, 4)):
        changed = _mutate_json(data, rng) if is_json and rng.random() < 0.7 else None
        data = changed if changed is not None else _mutate_bytes(data, rng)
    return data[:MAX_BYTES]


def _mutate_bytes(data: bytes, rng: Random) -> bytes:
    at = rng.randint(0, len(data))
    length = min(len(data) - at, rng.choice((1, 1, 2, 4, 8, 64)))
    kind = rng.randrange(6)
    if kind == 0:  # flip a bit
        if not data:
            return b"\0"
        at = rng.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    if kind == 1:  # cut out
        return data[:at] + data[at + length :]
    if kind == 2:  # cut off
        return data[:at]
    if kind == 3:  # say it twice
        return data[: at + length] + data[at:]
    if kind == 4:
        return data[:at] + rng.choice(_BYTES) + data[at + length :]
    return data[:at] + rng.randbytes(length) + data[at + length :]


def _mutate_json(data: bytes, rng: Random) -> bytes | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    places = list(_places(value))
    if not places:
        return None
    holder, key = rng.choice(places)
    kind = rng.randrange(5)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif kind == 2:  # something from elsewhere in it
        other, from_key = rng.choice(places)
        holder[key] = json.loads(json.dumps(other[from_key]))
    elif kind == 3:  # nested, deeply once in a while
        for _ in range(rng.choice((1, 1, 1, 5000))):
            holder[key] = [holder[key]]
    else:
        holder[key] = rng.choice(_VALUES)
    try:
        return json.dumps(value).encode("utf-8", "surrogatepass")
    except (RecursionError, ValueError):
        return None


def _places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key or index) of every value below `value`."""
    found: list[tuple[Any, Any]] = []
    pending = [value]
    while pending:
        item = pending.pop()
        keys: Any = ()
        if isinstance(item, dict):
            keys = list(item)
        elif isinstance(item, list):
            keys = range(len(item))
        for key in keys:
            found.append((item, key))
            pending.append(item[key])
    return found
