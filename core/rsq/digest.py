"""SHA-256 digests as 64 lower-case hex characters, the only form rsq stores or sends."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from rsq.errors import BadInput

READ_BYTES = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


def digest_bytes(data: bytes | bytearray | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_parts(parts: Iterable[bytes | memoryview]) -> str:
    """Digest of the concatenation of `parts`."""
    running = hashlib.sha256()
    for part in parts:
        running.update(part)
    return running.hexdigest()


def digest_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_digest(text: str) -> str:
    """`text` unchanged if it is a digest; raises BadInput otherwise, so that no name ever becomes
    a path."""
    if not _DIGEST.fullmatch(text):
        raise BadInput(f"{text[:80]!r} is not a SHA-256 digest (64 lower-case hex characters).")
    return text


def is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None
