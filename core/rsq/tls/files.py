"""PEM files, read bounded and refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rsq.errors import BadSecret

MAX_PEM_BYTES = 1 << 20


@dataclass(frozen=True)
class Stamp:
    """Tells one state of a file from another."""

    inode: int
    size_bytes: int
    mtime_ns: int


def read_pem(path: Path, what: str) -> bytes:
    """Raises BadSecret for a file that is missing, unreadable, empty or too large."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PEM_BYTES + 1)
    except OSError as e:
        raise BadSecret(f"The {what} {path} can't be read ({e.strerror}).") from e
    if not data.strip():
        raise BadSecret(f"The {what} {path} is empty.")
    if len(data) > MAX_PEM_BYTES:
        raise BadSecret(f"The {what} {path} is too large to be one.")
    return data


def stamp(path: Path) -> Stamp | None:
    """None where there is no such file now."""
    try:
        status = path.stat()
    except OSError:
        return None
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns)
