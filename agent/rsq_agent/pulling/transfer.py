"""Brings one file to the node: chunks in parallel, each verified on arrival, resumable.

1. Chunks that a cut-off transfer left are hashed again; 2. chunks that other artifacts on the node
have are copied; 3. the rest is fetched by several readers. A bad chunk costs itself only. What has
arrived of a chunk is kept over a cut connection, so that a link that fails every few seconds still
makes progress. Once no chunk is left to begin, idle readers begin those again that take long.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from filelock import FileLock

from rsq.chunks import chunk_range
from rsq.digest import digest_parts
from rsq.durable import disk_failures, make_folder
from rsq.errors import (
    IntegrityError,
    Interrupted,
    NotFound,
    RsqError,
)
from rsq.manifest import FileEntry
from rsq.rpc.patience import PASSING, backoff_seconds
from rsq_agent.cache import Cache
from rsq_agent.pulling.local_chunks import LocalChunks
from rsq_agent.pulling.partial_file import PartialFile, bitmap_path
from rsq_agent.pulling.rate_limit import RateLimit
from rsq_agent.pulling.sources import Sources
from rsq_agent.pulling.whole_digest import WholeDigest

CALL_SECONDS = 15.0  # of one read; what has arrived by then is kept
BAD_CHUNKS = 5  # times that one chunk may arrive damaged
# A chunk in flight is begun again once it takes this many times the median, and this long.
SLOW_FACTOR, SLOW_SECONDS = 4.0, 1.0


@dataclass
class Courier:
    """What the transfers of one pull share. `patience_seconds` is how long nothing may arrive
    before a pull gives up; `on_bytes` hears of fetched bytes once they are verified and on disk;
    `moved_bytes` counts what crossed the network, wasted or not."""

    sources: Sources
    local: LocalChunks
    limit: RateLimit
    readers: int
    patience_seconds: float
    on_bytes: Callable[[int], None]
    stop: threading.Event = field(default_factory=threading.Event)
    moved_bytes: int = 0
    _progress_at: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def _arrived(self, size_bytes: int) -> None:
        with self._lock:
            self.moved_bytes += size_bytes
            self._progress_at = time.monotonic()

    def _is_out_of_patience(self) -> bool:
        return time.monotonic() - self._progress_at > self.patience_seconds

    def fetch_file(self, cache: Cache, entry: FileEntry) -> None:
        """Brings `entry` into the cache.

        One puller a file across processes; a second one waits and finds it there. Raises what the
        last attempt met when a chunk can't be had, Exhausted for a full disk, EnvironmentFault for
        a folder that can't be written.
        """
        path = cache.partial_path(entry.sha256)
        what = f"{entry.name} can't be stored in {path.parent}"
        remedy = "Free some space and pull again; what has arrived is kept."
        with disk_failures(what, remedy):
            make_folder(path.parent)
            with FileLock(f"{path}.lock"):
                if cache.is_intact(entry):
                    return
                with PartialFile(path, entry) as partial:
                    # 1. what a cut-off transfer left
                    partial.recheck()
                    with WholeDigest(partial) as whole:
                        # 2. what the node has
                        self._copy_local(partial)
                        # 3. the rest
                        self._fetch_missing(partial)
                        digest = whole.result()
                cache.add_blob(path, entry, digest=digest)
                bitmap_path(path).unlink(missing_ok=True)

    def _copy_local(self, partial: PartialFile) -> None:
        for index in partial.missing():
            data = self.local.read(partial.entry.chunks[index])
            if data is not None:
                partial.write(index, [data])

    def _fetch_missing(self, partial: PartialFile) -> None:
        work = _Work(partial.missing())
        self._progress_at = time.monotonic()

        def read() -> None:
            try:
                while (index := work.take()) is not None:
                    parts = self._fetch_chunk(partial.entry, index, work)
                    if parts is not None and partial.write(index, parts):
                        self.on_bytes(sum(map(len, parts)))
                    if work.finish(index):
                        # Readers of chunks that another one brought meanwhile need not wait.
                        self.sources.cancel_reads()
            except BaseException:
                self._halt(work)
                raise

        with ThreadPoolExecutor(self.readers, thread_name_prefix="reader") as pool:
            futures = [pool.submit(read) for _ in range(self.readers)]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                self._halt(work)
                # The failure that stopped the others, rather than their being stopped.
                for future in futures:
                    error = future.exception()
                    if error is not None and not isinstance(error, Interrupted):
                        raise error from None
                raise

    def _halt(self, work: _Work) -> None:
        self.stop.set()
        work.close()
        self.sources.cancel_reads()

    def _fetch_chunk(self, entry: FileEntry, index: int, work: _Work) -> list[bytes] | None:
        """The verified chunk in the parts in which it came, since joining them would copy it; None
        where another reader was faster."""
        offset, length = chunk_range(entry, index)
        parts: list[bytes] = []
        size = 0
        failures = bad = 0
        while not work.is_done(index):
            if self.stop.is_set():
                raise Interrupted("The pull was stopped; run it again and it goes on from here.")
            source = self.sources.choose(entry.sha256)
            held = size
            asked = min(length - held, self.limit.piece_bytes)
            self.limit.take(asked)
            try:
                for part in source.read_blob(
                    entry.sha256, offset + held, asked, timeout_seconds=CALL_SECONDS
                ):
                    parts.append(part)
                    size += len(part)
                    self._arrived(len(part))
                    if size > held + asked:
                        raise IntegrityError(f"{source.target} sent more than it was asked for.")
                if size < held + asked:
                    raise IntegrityError(
                        f"{source.target} has less of {entry.name} than it should."
                    )
                if size < length:
                    continue
                if digest_parts(parts) == entry.chunks[index]:
                    self.sources.succeeded(source)
                    return parts
                raise IntegrityError(
                    f"Chunk {index} of {entry.name} from {source.target} does not match its digest."
                )
            except Interrupted:
                if not work.is_done(index):
                    raise
            except (*PASSING, IntegrityError, NotFound) as e:
                if isinstance(e, IntegrityError):
                    # Nobody knows which of the bytes are wrong.
                    parts.clear()
                    size = 0
                    bad += 1
                if self.sources.failed(source, entry.sha256, e):
                    continue
                failures = 0 if size > held else failures + 1
                if self._is_hopeless(e, bad):
                    raise
                self.stop.wait(backoff_seconds(failures))
        return None

    def _is_hopeless(self, error: RsqError, bad: int) -> bool:
        return isinstance(error, NotFound) or bad >= BAD_CHUNKS or self._is_out_of_patience()


class _Work:
    """Which chunk a reader takes next. Thread-safe."""

    def __init__(self, missing: list[int]) -> None:
        self._waiting = deque(missing)
        self._begun: dict[int, float] = {}
        self._repeated: set[int] = set()
        self._left = set(missing)
        self._seconds: deque[float] = deque(maxlen=64)
        self._changed = threading.Condition()
        self._closed = False

    def take(self) -> int | None:
        """The next chunk to fetch, waiting for one that turns out slow; None when none is left."""
        with self._changed:
            while self._left and not self._closed:
                if self._waiting:
                    index = self._waiting.popleft()
                    self._begun[index] = time.monotonic()
                    return index
                slow = self._find_slow()
                if slow is not None:
                    self._repeated.add(slow)
                    return slow
                self._changed.wait(SLOW_SECONDS / 4)
            return None

    def _find_slow(self) -> int | None:
        usual = statistics.median(self._seconds) if self._seconds else CALL_SECONDS / SLOW_FACTOR
        limit = max(SLOW_SECONDS, SLOW_FACTOR * usual)
        now = time.monotonic()
        for index, begun in self._begun.items():
            if index in self._left and index not in self._repeated and now - begun > limit:
                return index
        return None

    def finish(self, index: int) -> bool:
        """Whether that was the last one."""
        with self._changed:
            if index in self._left:
                self._left.discard(index)
                self._seconds.append(time.monotonic() - self._begun.pop(index))
            self._changed.notify_all()
            return not self._left

    def is_done(self, index: int) -> bool:
        with self._changed:
            return index not in self._left

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
