"""What publishing leaves below HOME: folders of publishers that were killed, and journals of
searches that nobody has gone on with."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from rsq_server.config import ServerConfig

AGE_SECONDS = 7 * 24 * 3600.0  # nobody publishes for so long


@dataclass(frozen=True)
class Leftover:
    path: str  # below HOME
    size_bytes: int
    reason: str


def remove_leftovers(config: ServerConfig, *, dry_run: bool) -> list[Leftover]:
    """Removes them, or only says what they are."""
    found = []
    for folder, reason in (
        (config.work_folder, "a publisher that was killed left it"),
        (config.journal_folder, "a search that was not gone on with for a week"),
    ):
        for path in sorted(folder.glob("*")):
            newest, size_bytes = _measure(path)
            if time.time() - newest < AGE_SECONDS:
                continue
            found.append(Leftover(str(path.relative_to(config.home)), size_bytes, reason))
            if not dry_run:
                shutil.rmtree(path, ignore_errors=True)
                path.unlink(missing_ok=True)
    return found


def _measure(path: Path) -> tuple[float, int]:
    """(newest modification, bytes) of the file or of all below the folder."""
    files = [path, *path.rglob("*")]
    facts = [file.lstat() for file in files]
    return max(fact.st_mtime for fact in facts), sum(
        fact.st_size for file, fact in zip(files, facts, strict=True) if file.is_file()
    )
