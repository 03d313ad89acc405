"""What is known of one call when it ends: the source of its log line, its count and its trace.

Both doors of a program open a record (`observe_call`); the code behind them adds what it alone
knows (`note_embedding`). No transport here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from rsq.request_id import request_scope

MAX_EMBEDDINGS = 32  # noted of one call: a stream may have thousands


@dataclass(slots=True)
class EmbeddingTimes:
    """Where the time of one embedding went; it ended at `ended_ns`, nanoseconds since the epoch."""

    queue_ms: float
    preprocess_ms: float
    inference_ms: float
    total_ms: float
    ended_ns: int = field(default_factory=time.time_ns)


@dataclass(frozen=True)
class Identity:
    """`name` is the token's, or the address where no token is asked for; `scopes` None allow
    everything."""

    name: str
    token_id: str = ""
    scopes: frozenset[str] | None = None

    def __str__(self) -> str:
        return f"token {self.name} ({self.token_id})" if self.token_id else f"rpc {self.name}"


@dataclass
class CallRecord:
    method: str  # rsq.v1.Embedding/EmbedText
    request_id: str
    peer: str = ""
    traceparent: str = ""  # the caller's span, as W3C Trace Context writes it
    started_ns: int = field(default_factory=time.time_ns)
    milliseconds: float = 0.0
    code: str = "OK"  # name of a gRPC status
    error: str = ""  # the sentence that the caller gets
    caller: Identity | None = None  # once it is known
    request: dict[str, Any] = field(default_factory=dict)  # what it asks for, of one that changes
    artifact_id: str = ""  # what served it
    embeddings: list[EmbeddingTimes] = field(default_factory=list)  # the first of a long stream


_current: ContextVar[CallRecord | None] = ContextVar("rsq_call", default=None)


@contextmanager
def observe_call(
    record: CallRecord, on_end: Sequence[Callable[[CallRecord], None]]
) -> Iterator[CallRecord]:
    """Makes `record` the call that this thread answers; completes it and tells `on_end` when the
    block ends. The block sets `code` and `error`; what leaves it as an exception counts as INTERNAL
    unless the block set another code."""
    started = time.perf_counter()
    token = _current.set(record)
    try:
        with request_scope(record.request_id):
            yield record
    except Exception:
        if record.code == "OK":
            record.code = "INTERNAL"
        raise
    finally:
        _current.reset(token)
        record.milliseconds = (time.perf_counter() - started) * 1000
        with request_scope(record.request_id):
            for tell in on_end:
                tell(record)


def current_caller() -> str:
    """Who makes the call that this thread answers, for records of what was done."""
    record = _current.get()
    return str(record.caller or f"rpc {record.peer}") if record is not None else "nobody"


def note_embedding(artifact_id: str, times: EmbeddingTimes) -> None:
    """Adds to the current call, if there is one, an embedding that ended now."""
    record = _current.get()
    if record is None:
        return
    record.artifact_id = artifact_id
    if len(record.embeddings) < MAX_EMBEDDINGS:
        record.embeddings.append(times)
