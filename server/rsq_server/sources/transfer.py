"""Runs a hub download in a process of its own.

The hubs' clients read their settings when imported, configure loggers, draw bars and keep threads
that outlive a Ctrl-C; one of them can't be kept quiet from inside. In a process of their own they
see the environment as it is now, print to nobody, and end when they are told to.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rsq.error_catalog import outcome_for_code
from rsq.errors import InternalError
from rsq_server.sources.contents import SourceFile
from rsq_server.sources.reference import HubReference

Advance = Callable[[int, int | None], None]
_QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MODELSCOPE_LOG_LEVEL": "ERROR",
    "TQDM_DISABLE": "1",
}
_TAIL_BYTES = 4096


@dataclass(frozen=True)
class Download:
    """What arrived: the revision that was read, and the verified files in the client's cache."""

    revision: str
    files: tuple[SourceFile, ...]


def run_download(reference: HubReference, advance: Advance | None = None) -> Download:
    """Downloads `reference` into its client's cache; `advance` receives (bytes done, bytes in all).

    Raises what the adapters raise, and InternalError when the process dies. An exception in
    `advance`, or a Ctrl-C, ends the download; what has arrived is resumed or kept as the client
    does it.
    """
    command = [sys.executable, "-P", "-m", "rsq_server.sources.download", str(reference)]
    with (
        tempfile.TemporaryFile() as chatter,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=chatter,
            env={**os.environ, **_QUIET},
        ) as process,
    ):
        assert process.stdout is not None
        try:
            last = _follow(process.stdout, advance)
        finally:
            # After a last line there is nothing left to do; without one nobody waits for the rest.
            process.kill()
            status = process.wait()
        if last is None:
            raise InternalError(
                f"The download of {reference} died with status {status}{_tail(chatter)}."
            )
    return _decode(last)


def _follow(lines: IO[bytes], advance: Advance | None) -> dict[str, Any] | None:
    """Reads progress up to the last line and returns that one; None when the stream just ends."""
    for line in lines:
        fields: dict[str, Any] = json.loads(line)
        if "done" not in fields:
            return fields
        if advance is not None:
            advance(fields["done"], fields["total"])
    return None


def _decode(fields: dict[str, Any]) -> Download:
    if "code" in fields:
        outcome = outcome_for_code(fields["code"])
        error = outcome.error if outcome else InternalError
        raise error(fields["message"])
    files = tuple(
        SourceFile(name, Path(path), size_bytes, sha256)
        for name, path, size_bytes, sha256 in fields["files"]
    )
    return Download(fields["revision"], files)


def _tail(chatter: IO[bytes]) -> str:
    """The last line the process printed, ready to follow a clause."""
    size = chatter.seek(0, os.SEEK_END)
    chatter.seek(max(0, size - _TAIL_BYTES))
    lines = chatter.read().decode(errors="replace").split("\n")
    words = [line.strip() for line in lines if line.strip()]
    return f": {words[-1].rstrip('.')}" if words else ""
