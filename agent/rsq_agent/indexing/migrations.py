"""Collections' moves into other models' spaces, one at a time in the background.

1. A shadow collection of the new space is filled; searches and additions go on in the old one.
2. Passes are made until the shadow misses nothing that was added meanwhile: `ready`.
3. At the cut-over additions wait while one record is written, which names the shadow.
4. The old one stays, for a way back, until the next migration.

All that has to survive is in migration.json and in the shadow itself, which tells what it has.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rsq.errors import BadInput, EnvironmentFault, GateRefused, Interrupted, NotFound, RsqError
from rsq.retrieval import Migration
from rsq_agent.cache import Cache
from rsq_agent.collections.collection import Collection
from rsq_agent.collections.collection_interface import VectorCollections
from rsq_agent.collections.collection_store import CollectionStore
from rsq_agent.collections.migration_record import MigrationRecord, new_shadow_name
from rsq_agent.collections.overlap import measure_overlap
from rsq_agent.collections.sharing import check_sharing
from rsq_agent.indexing.reembedding import Reembedding
from rsq_agent.indexing.roots import Roots
from rsq_agent.inference.embedding import Caller, PendingItems
from rsq_agent.inference.spaces import Spaces

log = logging.getLogger("rsq.agent")

# Two models that see anything alike share far more; below, one of them is broken.
MIN_OVERLAP = 0.02
_ENOUGH_QUERIES = 50


class Migrations:
    """Threads may call everything at once."""

    def __init__(
        self, collections: VectorCollections, cache: Cache, spaces: Spaces, roots: Roots
    ) -> None:
        self._collections = collections
        self._cache = cache
        self._spaces = spaces
        self._roots = roots
        self._changing = threading.Lock()  # held by whoever changes what a migration is
        self._stops: dict[str, threading.Event] = {}
        self._running: dict[str, Future[None]] = {}
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="migration")

    def start(self, name: str, reference: str) -> Migration:
        """Moves the collection to the model NAME or NAME:VERSION of this node. What a migration to
        that space has done already is kept.

        Raises NotFound, BadInput where it is of that space or moving elsewhere, and
        EnvironmentFault where the agent may read no files.
        """
        store = self._store()
        self._roots.require_some()
        target = self._spaces.resolve(reference)
        with self._changing:
            collection = store.open(name)
            if collection.space_id == target.space_id:
                raise BadInput(f"The collection {name!r} is of {target.title}'s space already.")
            before = _find(store, name)
            if before is not None and before.state == "cut_over":
                if before.source:
                    before = store.forget_source(before)
                source = before.in_use
            elif before is not None:
                if before.new_space_id != target.space_id:
                    raise BadInput(
                        f"The collection {name!r} is moving to {before.model}; cancel that first."
                    )
                if before.state == "running":
                    raise BadInput(f"The collection {name!r} is moving to {before.model} already.")
                store.save_migration(replace(before, state="running", message=""))
                return self._launch(store, name)
            else:
                source = name
            store.save_migration(
                MigrationRecord(
                    collection=name,
                    state="running",
                    source=source,
                    shadow=new_shadow_name(name),
                    old_space_id=collection.space_id,
                    new_space_id=target.space_id,
                    dimension=target.dimension,
                    model=target.title,
                )
            )
            return self._launch(store, name)

    def find(self, name: str) -> Migration:
        """Raises NotFound where there is none."""
        store = self._store()
        return _describe(store, store.migration(name))

    def cut_over(self, name: str, *, force: bool = False) -> Migration:
        """From now on the collection is of the new space. With `force` though images are missing or
        the two have next to nothing in common.

        Raises GateRefused without it, and BadInput where the migration is not ready.
        """
        store = self._store()
        with self._changing:
            record = store.migration(name)
            if record.state == "cut_over":
                return _describe(store, record)
            if record.state != "ready":
                raise BadInput(f"The migration of {name!r} is {record.state}, not ready.")
            source, shadow = store.open_source(record), store.open_shadow(record)
            shadow.retire(False)
            work = self._work(source, shadow, lambda: False)
            while True:
                changes = work.run()
                record = replace(record, failed=len(work.failures))
                if not force:
                    _check(record)
                with source.frozen():
                    if source.changes != changes:
                        continue  # something came meanwhile
                    record = replace(record, state="cut_over")
                    store.save_migration(record)
                    source.retire(True)
                    return _describe(store, record)

    def revert(self, name: str) -> Migration:
        """The old collection takes its place again, once what was added since the cut-over is in it
        too, or the next cut-over would delete that.

        Raises BadInput where there is no way back, GateRefused where an image that was added can't
        be read, and SpaceMismatch where the old model is needed for one and has gone.
        """
        store = self._store()
        with self._changing:
            record = store.migration(name)
            if record.state != "cut_over":
                raise BadInput(f"The migration of {name!r} was not cut over.")
            if not record.source:
                raise BadInput(f"What {name!r} was before is deleted; there is no way back.")
            source, shadow = store.open_source(record), store.open_shadow(record)
            source.retire(False)
            work = self._work(shadow, source, lambda: False)
            while True:
                changes = work.add_missing()
                if work.failures:
                    raise GateRefused(
                        f"{len(work.failures)} images that came to {name!r} since the cut-over "
                        f"can't be read and would be missing: {work.failures[0]} Put them back, "
                        "or remove them: rsq-agent index rm"
                    )
                with shadow.frozen():
                    if shadow.changes != changes:
                        continue  # something came meanwhile
                    record = replace(record, state="ready")
                    store.save_migration(record)
                    shadow.retire(True)
                    return _describe(store, record)

    def cancel(self, name: str) -> None:
        """Stops it and deletes the shadow. Raises NotFound, and BadInput after the cut-over."""
        store = self._store()
        with self._changing:
            if store.migration(name).state == "cut_over":
                raise BadInput(f"The collection {name!r} was cut over; revert it first.")
            self._stop(name)
            store.forget_migration(store.migration(name))

    def resume(self) -> None:
        """Goes on with what the last process left unfinished."""
        if not isinstance(self._collections, CollectionStore):
            return
        for name in self._collections.names():
            try:
                record = _find(self._collections, name)
                if record is not None and record.state == "running":
                    self._launch(self._collections, name)
            except RsqError as e:
                log.warning("the migration of %s can't go on: %s", name, e)

    def close(self) -> None:
        """Stops what runs; the next process goes on with it."""
        for stop in list(self._stops.values()):
            stop.set()
        self._worker.shutdown(cancel_futures=True)

    def _store(self) -> CollectionStore:
        if not isinstance(self._collections, CollectionStore):
            raise EnvironmentFault(
                "Collections in a Qdrant cluster can't be migrated by an agent; index the images "
                "again into a new collection."
            )
        return self._collections

    def _launch(self, store: CollectionStore, name: str) -> Migration:
        stop = self._stops[name] = threading.Event()
        self._running[name] = self._worker.submit(self._run, store, name, stop.is_set)
        return _describe(store, store.migration(name))

    def _stop(self, name: str) -> None:
        if name in self._stops:
            self._stops[name].set()
        if name in self._running and not self._running[name].cancel():
            self._running[name].result()

    def _run(self, store: CollectionStore, name: str, is_stopped: Callable[[], bool]) -> None:
        record = store.migration(name)
        try:
            source, shadow = store.open_source(record), store.open_shadow(record)
            shadow.retire(False)  # it may have been in use before
            work = self._work(source, shadow, is_stopped)
            work.run()
            shadow.optimize()
            overlap, queries = measure_overlap(source, shadow)
            message = f"The first of them: {work.failures[0]}" if work.failures else ""
            record = replace(
                record,
                state="ready",
                failed=len(work.failures),
                overlap_at_10=overlap,
                sampled_queries=queries,
                message=message,
            )
        except Interrupted:
            return
        except RsqError as e:
            record = replace(record, state="failed", message=e.message)
        except Exception as e:
            log.exception("the migration of %s failed", name)
            record = replace(record, state="failed", message=f"An internal error: {e}")
        try:
            store.save_migration(record)
        except RsqError as e:
            log.warning("the migration of %s can't be written down: %s", name, e)

    def _work(
        self, source: Collection, shadow: Collection, is_stopped: Callable[[], bool]
    ) -> Reembedding:
        allowed: set[str] = set()

        def embed(images: list[bytes]) -> tuple[str, list[NDArray[np.float32] | RsqError]]:
            with self._spaces.lease_for(shadow) as model:
                artifact_id = model.tower("vision").artifact_id
                if artifact_id not in allowed:
                    check_sharing(self._cache, artifact_id, shadow)
                    allowed.add(artifact_id)
                return artifact_id, PendingItems(model, "vision", images, Caller()).collect()

        return Reembedding(source, shadow, roots=self._roots, embed=embed, is_stopped=is_stopped)


def _find(store: CollectionStore, name: str) -> MigrationRecord | None:
    try:
        return store.migration(name)
    except NotFound:
        return None


def _check(record: MigrationRecord) -> None:
    if record.failed:
        raise GateRefused(
            f"{record.failed} images of {record.collection!r} could not be read and would be "
            "missing; put them back, or use --force."
        )
    if record.sampled_queries >= _ENOUGH_QUERIES and record.overlap_at_10 < MIN_OVERLAP:
        raise GateRefused(
            f"The two spaces agree on {record.overlap_at_10:.1%} of neighbours, next to nothing; "
            "look at the new model, or use --force."
        )


def _describe(store: CollectionStore, record: MigrationRecord) -> Migration:
    total = store.open_source(record).count() if record.source else 0
    done = store.open_shadow(record).count()
    return Migration(
        collection=record.collection,
        state=record.state,
        old_space_id=record.old_space_id,
        new_space_id=record.new_space_id,
        model=record.model,
        done=done,
        total=total or done,
        failed=record.failed,
        overlap_at_10=record.overlap_at_10,
        sampled_queries=record.sampled_queries,
        message=record.message,
    )
