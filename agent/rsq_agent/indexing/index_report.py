"""What became of everything that was to be indexed."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rsq.errors import RsqError
from rsq.output_file import write_output
from rsq_agent.indexing.image_entry import NO_DATA, Skipped


class IndexReport:
    """Counts images and tiles. Threads may add at the same time.

    As JSON:
        collection, files     where to, and how many files were looked at
        added, already        vectors: new ones, and those that were there as the files are now
        removed               vectors of tiles that their changed files no longer have
        skipped               [{"uri", "code", "message", "tiles"}], one a file and reason
        without_footprint     [{"uri", "message"}]: indexed, but not to be found on a map
        seconds, per_second   of the whole run; vectors added a second
        stopped               null, or the {"code", "message"} of the error that ended the run
    """

    def __init__(self, collection: str) -> None:
        self.collection = collection
        self.files = 0
        self.tiles = 0  # all that are to be added, skipped or found there
        self.added = 0
        self.already = 0
        self.removed = 0
        self.stopped: RsqError | None = None
        self._skipped: dict[tuple[str, str, str], int] = {}
        self._without_footprint: dict[str, str] = {}
        self._begun = time.monotonic()
        self._lock = threading.Lock()

    @property
    def done(self) -> int:
        """Tiles of which it is known what became of them."""
        with self._lock:
            return self.added + self.already + sum(self._skipped.values())

    @property
    def skipped(self) -> list[Skipped]:
        with self._lock:
            return [
                Skipped(uri, code, message, tiles)
                for (uri, code, message), tiles in self._skipped.items()
            ]

    def count(self, *, files: int = 0, tiles: int = 0, added: int = 0, already: int = 0) -> None:
        with self._lock:
            self.files += files
            self.tiles += tiles
            self.added += added
            self.already += already

    def skip(self, row: Skipped) -> None:
        with self._lock:
            key = (row.uri, row.code, row.message)
            self._skipped[key] = self._skipped.get(key, 0) + row.tiles

    def skip_empty(self, uri: str, tiles: int) -> None:
        self.skip(Skipped(uri, NO_DATA, "Tiles hold too few pixels with data.", tiles))

    def note_without_footprint(self, uri: str, message: str) -> None:
        with self._lock:
            self._without_footprint[uri] = message

    def to_json(self) -> dict[str, Any]:
        seconds = time.monotonic() - self._begun
        stopped = self.stopped and {"code": self.stopped.code, "message": self.stopped.message}
        return {
            "collection": self.collection,
            "files": self.files,
            "added": self.added,
            "already": self.already,
            "removed": self.removed,
            "skipped": [asdict(row) for row in self.skipped],
            "without_footprint": [
                {"uri": uri, "message": message} for uri, message in self._without_footprint.items()
            ],
            "seconds": round(seconds, 3),
            "per_second": round(self.added / seconds, 2) if seconds else 0.0,
            "stopped": stopped,
        }

    def write(self, path: Path) -> None:
        """Raises Exhausted and EnvironmentFault as `write_output` does."""
        write_output(path, [json.dumps(self.to_json(), indent=2).encode() + b"\n"])
