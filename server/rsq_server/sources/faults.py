"""Faults of this machine that surface inside a hub's client, under exceptions of its own."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from rsq.errors import EnvironmentFault, Exhausted, RsqError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def walk_causes(error: BaseException) -> Iterator[BaseException]:
    """`error`, then what it was raised from or while handling, outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def find_local_fault(error: BaseException) -> RsqError | None:
    """The fault of this machine behind `error`: Exhausted for a full disk, EnvironmentFault for a
    cache that can't be written; None when this machine is not to blame."""
    for cause in walk_causes(error):
        if not isinstance(cause, OSError):
            continue
        if cause.errno in _FULL:
            return Exhausted("The disk is full: the checkpoint does not fit in the client's cache.")
        if cause.errno in _FORBIDDEN:
            place = f" {cause.filename}" if cause.filename else ""
            return EnvironmentFault(f"The hub client's cache{place} can't be written.")
    return None
