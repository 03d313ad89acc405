"""The id that ties one call's reply to its log lines and its trace."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

REQUEST_ID_KEY = "x-request-id"  # of the call's metadata, and the HTTP header
MAX_REQUEST_ID_CHARS = 128

_current: ContextVar[str] = ContextVar("rsq_request_id", default="")


def current_request_id() -> str:
    """The id of the call that this thread answers; empty outside of one."""
    return _current.get()


def choose_request_id(offered: str | None) -> str:
    """The caller's own id where it is printable ASCII of a sane length, else a new one."""
    if offered and len(offered) <= MAX_REQUEST_ID_CHARS and _is_plain(offered):
        return offered
    return uuid.uuid4().hex


@contextmanager
def request_scope(request_id: str) -> Iterator[None]:
    """Makes `request_id` the current one inside the block."""
    token = _current.set(request_id)
    try:
        yield
    finally:
        _current.reset(token)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and text == text.strip()
