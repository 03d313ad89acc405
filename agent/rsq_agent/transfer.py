"""Moves one file from a server: chunks in parallel, each verified on arrival, resumable.

The partial file is sparse; its bitmap says which chunks are verified and written. A kill loses at
most the chunks in flight, and a bad chunk costs itself only.
"""

from __future__ import annotations

import os
import queue
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock

from rsq.chunks import Bitmap, chunk_range
from rsq.digest import digest_bytes
from rsq.durable import make_folder
from rsq.errors import (
    DeadlineExceeded,
    Exhausted,
    IntegrityError,
    Interrupted,
    RsqError,
    Unreachable,
)
from rsq.manifest import FileEntry
from rsq.rpc.registry import RegistryClient
from rsq_agent.cache import Cache

ATTEMPTS = 5
BACKOFF_SECONDS = 0.2  # doubled each time, with jitter
STALL_SECONDS = 30.0  # for one chunk
_RETRIED = (Unreachable, DeadlineExceeded, Exhausted, IntegrityError)


class PartialFile:
    """The sparse file and its bitmap on disk. Methods may be called from several threads."""

    def __init__(self, path: Path, entry: FileEntry) -> None:
        make_folder(path.parent)
        self.path = path
        self.entry = entry
        self._bitmap_path = path.with_name(f"{path.name}.chunks")
        self._lock = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self._file, entry.size_bytes)
        self._bitmap_file = os.open(self._bitmap_path, os.O_RDWR | os.O_CREAT, 0o644)
        self.bitmap = Bitmap(len(entry.chunks), os.pread(self._bitmap_file, 1 << 26, 0))

    def recheck(self) -> int:
        """Re-hashes what the bitmap claims, forgets what is wrong, and returns the bytes that
        hold: a power cut may have kept the bitmap and lost the data."""
        held_bytes = 0
        for index in range(self.bitmap.count):
            if index not in self.bitmap:
                continue
            offset, length = chunk_range(self.entry, index)
            if digest_bytes(os.pread(self._file, length, offset)) == self.entry.chunks[index]:
                held_bytes += length
            else:
                self.bitmap.discard(index)
        self._save_bitmap()
        return held_bytes

    def write(self, index: int, data: bytes) -> None:
        offset, _ = chunk_range(self.entry, index)
        os.pwrite(self._file, data, offset)
        with self._lock:
            self.bitmap.add(index)
            self._save_bitmap()

    def _save_bitmap(self) -> None:
        os.pwrite(self._bitmap_file, self.bitmap.to_bytes(), 0)

    def close(self) -> None:
        os.close(self._file)
        os.close(self._bitmap_file)

    def drop_bitmap(self) -> None:
        self._bitmap_path.unlink(missing_ok=True)


def fetch_file(
    client: RegistryClient,
    cache: Cache,
    entry: FileEntry,
    *,
    readers: int,
    on_bytes: Callable[[int], None],
) -> int:
    """Brings `entry` into the cache and returns the bytes moved.

    One puller a file across processes; a second one waits and finds it there. Raises the error of
    the last attempt when a chunk can't be had.
    """
    path = cache.partial_path(entry.sha256)
    make_folder(path.parent)
    with FileLock(f"{path}.lock"):
        if cache.has_blob(entry):
            on_bytes(entry.size_bytes)
            return 0
        partial = PartialFile(path, entry)
        try:
            on_bytes(partial.recheck())
            moved = _fetch_chunks(client, partial, readers=readers, on_bytes=on_bytes)
        finally:
            partial.close()
        cache.add_blob(path, entry)
        partial.drop_bitmap()
        return moved


def _fetch_chunks(
    client: RegistryClient,
    partial: PartialFile,
    *,
    readers: int,
    on_bytes: Callable[[int], None],
) -> int:
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in partial.bitmap.missing():
        waiting.put(index)
    stop = threading.Event()
    moved: list[int] = []

    def read() -> None:
        while not stop.is_set():
            try:
                index = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                data = _fetch_chunk(client, partial.entry, index, stop)
            except BaseException:
                stop.set()
                raise
            partial.write(index, data)
            moved.append(len(data))
            on_bytes(len(data))

    with ThreadPoolExecutor(readers, thread_name_prefix="reader") as pool:
        futures = [pool.submit(read) for _ in range(readers)]
        try:
            for future in futures:
                future.result()
        finally:
            stop.set()
    return sum(moved)


def _fetch_chunk(
    client: RegistryClient, entry: FileEntry, index: int, stop: threading.Event
) -> bytes:
    offset, length = chunk_range(entry, index)
    failure: RsqError = Interrupted("The pull was stopped.")
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(BACKOFF_SECONDS * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311
        if stop.is_set():
            break
        try:
            return _read_chunk(client, entry, offset, length, index)
        except _RETRIED as e:
            failure = e
    raise failure


def _read_chunk(
    client: RegistryClient, entry: FileEntry, offset: int, length: int, index: int
) -> bytes:
    data = bytearray()
    for part in client.read_blob(entry.sha256, offset, length, timeout_seconds=STALL_SECONDS):
        data += part
        if len(data) > length:
            raise IntegrityError(f"{client.target} sent more than chunk {index} of {entry.name}.")
    if digest_bytes(data) != entry.chunks[index]:
        raise IntegrityError(
            f"Chunk {index} of {entry.name} from {client.target} does not match its digest."
        )
    return bytes(data)
