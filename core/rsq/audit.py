"""The audit log: one JSON line for every call that changes something, and who made it.

A line is on the disk before its call is answered. The log is bounded: a full file becomes
audit.1.jsonl, the one before it audit.2.jsonl, and so on up to `KEPT_FILES`.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rsq.call_record import CallRecord
from rsq.errors import EnvironmentFault
from rsq.rpc.scopes import changes_something

MAX_FILE_BYTES = 64 << 20
KEPT_FILES = 8  # full ones, beside the one that is written
FILE_NAME = "audit.jsonl"

log = logging.getLogger("rsq.audit")


class AuditLog:
    """Appends to FOLDER/audit.jsonl. Safe for threads; one process writes."""

    def __init__(self, folder: Path, *, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        """Raises EnvironmentFault for a folder that can't be written."""
        self._path = folder / FILE_NAME
        self._max_file_bytes = max_file_bytes
        self._lock = threading.Lock()
        self._torn = True  # for all that is known at the start
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._append(b"")
        except OSError as e:
            raise EnvironmentFault(
                f"The audit log {self._path} can't be written ({e.strerror})."
            ) from e

    def record(self, call: CallRecord) -> None:
        """Writes a line if `call` is one that changes something, refused or not. A stranger's calls
        have none, or anyone could fill the log. A disk that fails is told to the program's own log:
        the call itself is done."""
        if call.caller is None or not changes_something(call.method):
            return
        line = json.dumps(_fields(call), ensure_ascii=False).encode() + b"\n"
        try:
            with self._lock:
                self._append(line)
        except OSError as e:
            log.error("the audit log can't be written (%s); lost: %s", e.strerror, line.decode())

    def _append(self, line: bytes) -> None:
        if line and self._size_bytes() + len(line) > self._max_file_bytes:
            self._turn_over()
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if line:
                # What a full disk or a power cut has torn stays a line of its own.
                whole = (b"\n" if self._torn else b"") + line
                self._torn = True
                if os.write(file, whole) < len(whole):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fdatasync(file)
                self._torn = False
        finally:
            os.close(file)

    def _size_bytes(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def _turn_over(self) -> None:
        for index in range(KEPT_FILES, 0, -1):
            older = _numbered(self._path, index)
            newer = self._path if index == 1 else _numbered(self._path, index - 1)
            if newer.exists():
                newer.replace(older)


def read_audit(folder: Path) -> Iterator[dict[str, Any]]:
    """The fields of every line, oldest first; a line that a power cut tore is left out."""
    path = folder / FILE_NAME
    for file in (*(_numbered(path, index) for index in range(KEPT_FILES, 0, -1)), path):
        try:
            lines = file.open("rb")
        except FileNotFoundError:
            continue
        with lines:
            for line in lines:
                try:
                    fields = json.loads(line)
                except ValueError:
                    continue
                if isinstance(fields, dict):
                    yield fields


def _fields(call: CallRecord) -> dict[str, Any]:
    assert call.caller is not None
    started = datetime.fromtimestamp(call.started_ns / 1e9, UTC)
    return {
        "time": started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "caller": call.caller.name,
        "token": call.caller.token_id,
        "peer": call.peer,
        "method": call.method,
        "request_id": call.request_id,
        "code": call.code,
        "request": call.request,
        "error": call.error,
    }


def _numbered(path: Path, index: int) -> Path:
    return path.with_name(f"{path.stem}.{index}{path.suffix}")
