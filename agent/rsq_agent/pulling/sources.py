"""Where a pull gets its bytes: the origin that named the version, and mirrors that are asked first.

A mirror is not trusted with anything: what it sends counts when it has the digest that the manifest
names. One that sends other bytes, or fails again and again, is not asked again in this pull.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from rsq.errors import BadMirror, IntegrityError, NotFound, RsqError
from rsq.records import VersionRow

MIRROR_FAILURES = 3  # in a row; then the mirror is left out


class ChunkSource(Protocol):
    """Whoever has blobs; `rsq.rpc.registry.RegistryClient` is one, a bundle another."""

    @property
    def target(self) -> str:
        """Its name in messages."""
        ...

    def read_blob(
        self, digest: str, offset: int, length: int, *, timeout_seconds: float
    ) -> Iterator[bytes]:
        """The bytes of one short read, not yet verified. Raises NotFound where it lacks the blob,
        Unreachable, DeadlineExceeded, Exhausted."""
        ...

    def cancel_reads(self) -> None:
        """Ends reads in flight, which then raise Interrupted."""
        ...


class Origin(ChunkSource, Protocol):
    """The source that also says what a version is."""

    def version(self, reference: str) -> VersionRow: ...

    def manifest(self, artifact_id: str) -> bytes: ...


class Sources:
    """Chooses whom to ask next. Thread-safe."""

    def __init__(
        self,
        origin: ChunkSource,
        mirrors: Sequence[ChunkSource] = (),
        *,
        on_bad: Callable[[BadMirror], None] = lambda error: None,
    ) -> None:
        """`on_bad` hears of mirrors that are left out because they send wrong bytes."""
        self._origin = origin
        self._on_bad = on_bad
        self._mirrors = list(mirrors)
        self._failures: dict[int, int] = {}
        self._lacking: set[tuple[int, str]] = set()
        self._turns = itertools.count()
        self._lock = threading.Lock()

    def choose(self, digest: str) -> ChunkSource:
        """A mirror that may have the blob, in turn; the origin where there is none."""
        with self._lock:
            usable = [m for m in self._mirrors if (id(m), digest) not in self._lacking]
            if not usable:
                return self._origin
            return usable[next(self._turns) % len(usable)]

    def succeeded(self, source: ChunkSource) -> None:
        with self._lock:
            self._failures.pop(id(source), None)

    def failed(self, source: ChunkSource, digest: str, error: RsqError) -> bool:
        """Whether there is someone else to ask at once: always so after a mirror failed."""
        if source is self._origin:
            return False
        with self._lock:
            failures = self._failures.get(id(source), 0) + 1
            self._failures[id(source)] = failures
            if isinstance(error, NotFound):
                self._lacking.add((id(source), digest))
            elif isinstance(error, IntegrityError) or failures >= MIRROR_FAILURES:
                is_first = source in self._mirrors
                self._mirrors = [mirror for mirror in self._mirrors if mirror is not source]
                if is_first and isinstance(error, IntegrityError):
                    self._on_bad(BadMirror(f"{error.message} It is not asked again."))
        return True

    def cancel_reads(self) -> None:
        for source in (self._origin, *self._mirrors):
            source.cancel_reads()
