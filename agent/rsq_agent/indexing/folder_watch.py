"""Folders that receive new images, looked at again and again.

A file is indexed once it is as large and as old as it was at the look before: whoever writes it has
finished. What was indexed is remembered by the collection itself, so a restart begins where the
last run ended. Files that are removed stay in the collection.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from rsq.errors import BadImage, BadInput, BadSource, Interrupted, RsqError
from rsq.units import format_seconds
from rsq_agent.indexing.archive import find_images
from rsq_agent.indexing.image_entry import NO_DATA, ImageEntry
from rsq_agent.indexing.index_plan import file_stamp
from rsq_agent.indexing.index_report import IndexReport

log = logging.getLogger("rsq.agent")
LONGEST_WAIT_SECONDS = 900.0  # between two looks while the agent is away
# Reading such a file again would end the same way until it changes.
_LASTING = frozenset({BadImage.code, BadInput.code, BadSource.code, NO_DATA})


class FolderWatch:
    def __init__(
        self,
        folders: Sequence[Path],
        *,
        seconds: float,
        index: Callable[[list[ImageEntry]], IndexReport],
    ) -> None:
        """`index` adds files and says what became of them; it raises RsqError where the agent can't
        be reached or has no room. `seconds` pass between two looks."""
        self._folders = folders
        self._seconds = seconds
        self._index = index
        self._before: dict[str, str] = {}  # stamps at the last look
        self._done: dict[str, str] = {}  # stamps of what needs no second try
        self._failures = 0

    def run(self, stop: threading.Event) -> None:
        """Looks until `stop` is set, less often while that fails."""
        while not stop.is_set():
            try:
                self.look()
            except Interrupted:
                continue
            except RsqError as e:
                self._failures += 1
                longest = max(LONGEST_WAIT_SECONDS, self._seconds)
                wait = min(self._seconds * 2.0 ** min(self._failures, 32), longest)
                log.warning("%s Trying again in %s.", e.message, format_seconds(wait))
            else:
                self._failures, wait = 0, self._seconds
            stop.wait(wait)

    def look(self) -> IndexReport | None:
        """Indexes what has settled since the look before and isn't done yet; None where there is
        nothing."""
        now = self._stamps()
        settled = {
            uri: stamp
            for uri, stamp in now.items()
            if self._before.get(uri) == stamp != self._done.get(uri)
        }
        self._before = now
        self._done = {uri: stamp for uri, stamp in self._done.items() if uri in now}
        if not settled:
            return None
        report = self._index([ImageEntry(uri) for uri in settled])
        again = {row.uri for row in report.skipped if row.code not in _LASTING}
        self._done |= {uri: stamp for uri, stamp in settled.items() if uri not in again}
        self._tell(report)
        return report

    def _stamps(self) -> dict[str, str]:
        stamps = {}
        for path in find_images(self._folders):
            try:
                stamps[str(path)] = file_stamp(os.stat(path))
            except OSError:  # it went meanwhile
                continue
        return stamps

    def _tell(self, report: IndexReport) -> None:
        if report.added or report.removed:
            log.info(
                "added %d vectors to %s and removed %d",
                report.added,
                report.collection,
                report.removed,
            )
        for row in report.skipped:
            log.warning("%s: %s (%d)", row.uri, row.message, row.tiles)
