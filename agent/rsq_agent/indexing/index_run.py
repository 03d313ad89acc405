"""Indexing from end to end: plan, ask what is there, read in parallel, send, tidy up.

A feeder thread plans files in groups, asks the agent which of their tiles it has as they are now,
and reads the others in a pool, in order; the caller's thread takes the agent's answers. What waits
in between is bounded by bytes. A run that is interrupted loses what was not answered, and the next
one sends just that.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Protocol

from rsq.errors import BadSource, NotFound, RsqError
from rsq.retrieval import IndexItem, IndexOutcome, Origin
from rsq_agent.indexing.image_entry import ImageEntry, Skipped
from rsq_agent.indexing.index_plan import IndexSettings, Scene, plan_scene
from rsq_agent.indexing.index_report import IndexReport
from rsq_agent.indexing.item_queue import ItemQueue
from rsq_agent.indexing.scene_ledger import Account, SceneLedger
from rsq_agent.indexing.scene_reader import ReadTiles, SceneReader

FILES_AT_ONCE = 32  # planned and asked for together
ORIGINS_AT_ONCE = 1000
SCENES_TO_TIDY = 64
QUEUE_BYTES = 32 << 20
MAX_READERS = 8


class Indexer(Protocol):
    """What is needed of `rsq.client.Client`."""

    def index(self, items: Iterable[IndexItem], *, collection: str) -> Iterator[IndexOutcome]: ...

    def find_stored(self, origins: Sequence[Origin], *, collection: str) -> list[bool]: ...

    def delete_outdated(self, origins: Sequence[Origin], *, collection: str) -> int: ...


def index_entries(
    client: Indexer,
    entries: Iterable[ImageEntry | Skipped],
    settings: IndexSettings,
    report: IndexReport,
    *,
    stop: threading.Event | None = None,
) -> Iterator[None]:
    """Indexes `entries` into `report.collection`; yields whenever the agent has answered.

    After `stop` nothing new is read, and what was sent is still waited for. Raises the RsqError
    that ended the run: an agent out of reach, a full disk there, a list that can't be read. What
    costs only a file is in the report.
    """
    run = _Run(client, settings, report, stop or threading.Event())
    feeder = threading.Thread(target=run.feed, args=(entries,), name="index-feeder", daemon=True)
    feeder.start()
    try:
        for outcome in client.index(iter(run.queue), collection=report.collection):
            run.take(outcome)
            yield
        run.remove_outdated()
    finally:
        run.end()
        feeder.join()
    if run.failure is not None:
        raise run.failure


class _Run:
    def __init__(
        self, client: Indexer, settings: IndexSettings, report: IndexReport, stop: threading.Event
    ) -> None:
        self.queue = ItemQueue(QUEUE_BYTES)
        self.failure: Exception | None = None
        self._client = client
        self._settings = settings
        self._report = report
        self._stop = stop
        self._ended = False
        self._ledger = SceneLedger()
        self._planned: set[int] = set()  # hashes of uris that are stored as a whole

    def feed(self, entries: Iterable[ImageEntry | Skipped]) -> None:
        """Fills the queue and ends it; keeps what went wrong in `failure`."""
        readers = min(MAX_READERS, len(os.sched_getaffinity(0)))
        try:
            with ThreadPoolExecutor(readers, thread_name_prefix="reader") as pool:
                try:
                    self._feed(iter(entries), pool, readers + 1)
                finally:
                    pool.shutdown(cancel_futures=True)
        except Exception as e:  # noqa: BLE001 - raised again in the caller's thread
            self.failure = e
        finally:
            self.queue.end()

    def take(self, outcome: IndexOutcome) -> None:
        if outcome.error is None:
            self._report.count(added=1)
        else:
            self._report.skip(Skipped(outcome.uri, outcome.error.code, outcome.error.message))
        self._ledger.answer(failed=outcome.error is not None)
        if self._ledger.whole >= SCENES_TO_TIDY:
            self.remove_outdated()

    def remove_outdated(self) -> None:
        """Removes what changed files had once and no longer have, of those that are stored as they
        are now: never before, so that a failure leaves the older tiles."""
        whole = self._ledger.take_whole()
        for start in range(0, len(whole), ORIGINS_AT_ONCE):
            try:
                self._report.removed += self._client.delete_outdated(
                    whole[start : start + ORIGINS_AT_ONCE], collection=self._report.collection
                )
            except NotFound:  # nothing was ever stored there
                return

    def end(self) -> None:
        self._ended = True
        self.queue.stop()

    def _feed(
        self, entries: Iterator[ImageEntry | Skipped], pool: ThreadPoolExecutor, ahead: int
    ) -> None:
        reading: deque[tuple[Account, int, Future[ReadTiles]]] = deque()
        for scene, missing in self._missing_tiles(entries, pool):
            reader = SceneReader(scene, self._settings)
            parts = reader.parts(missing)
            account = self._ledger.begin(scene, len(parts))
            for part in parts:
                if self._ended or self._stop.is_set():
                    break
                reading.append((account, max(1, len(part)), pool.submit(reader.read, part)))
                if len(reading) > ahead:
                    self._send(*reading.popleft())
        while reading and not self._ended:
            self._send(*reading.popleft())

    def _missing_tiles(
        self, entries: Iterator[ImageEntry | Skipped], pool: ThreadPoolExecutor
    ) -> Iterator[tuple[Scene, list[Origin]]]:
        while not (self._ended or self._stop.is_set()):
            group = list(islice(entries, FILES_AT_ONCE))
            if not group:
                return
            scenes = self._plan(group, pool)
            origins = [origin for scene in scenes for origin in scene.origins]
            stored: list[bool] = []
            for start in range(0, len(origins), ORIGINS_AT_ONCE):
                stored += self._client.find_stored(
                    origins[start : start + ORIGINS_AT_ONCE], collection=self._report.collection
                )
            known = iter(stored)
            for scene in scenes:
                missing = [origin for origin in scene.origins if not next(known)]
                tiles = len(scene.origins)
                self._report.count(tiles=tiles, already=tiles - len(missing))
                yield scene, missing

    def _plan(self, group: Sequence[ImageEntry | Skipped], pool: ThreadPoolExecutor) -> list[Scene]:
        scenes = []
        for planned in pool.map(self._plan_one, group):
            self._report.count(files=1)
            if isinstance(planned, Scene) and self._is_planned(planned):
                planned = Skipped(planned.entry.uri, BadSource.code, "The file is named twice.")
            if isinstance(planned, Skipped):
                self._report.count(tiles=planned.tiles)
                self._report.skip(planned)
                continue
            if reason := planned.without_footprint():
                self._report.note_without_footprint(planned.entry.uri, reason)
            scenes.append(planned)
        return scenes

    def _is_planned(self, scene: Scene) -> bool:
        # A list may name a file twice with different facts. One of them has to hold: each would
        # remove the tiles of the other.
        if not scene.may_have_older_tiles:
            return False
        key = hash(scene.entry.uri)
        was_planned = key in self._planned
        self._planned.add(key)
        return was_planned

    def _plan_one(self, entry: ImageEntry | Skipped) -> Scene | Skipped:
        if isinstance(entry, Skipped):
            return entry
        try:
            return plan_scene(entry, self._settings)
        except RsqError as e:
            return Skipped(entry.uri, e.code, e.message)

    def _send(self, account: Account, count: int, part: Future[ReadTiles]) -> None:
        uri = account.scene.entry.uri
        try:
            tiles = part.result()
        except RsqError as e:
            self._report.skip(Skipped(uri, e.code, e.message, count))
            self._ledger.finish_part(account, failed=True)
            return
        if tiles.empty:
            self._report.skip_empty(uri, tiles.empty)
        if tiles.unplaced:
            self._report.note_without_footprint(uri, "Its CRS puts some tiles nowhere on Earth.")
        for item in tiles.items:
            self._ledger.send(account)
            if not self.queue.put(item):
                return
        self._ledger.finish_part(account)
