"""A registry and a plain model of it, driven side by side by random steps."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from unit.registry.samples import make_draft

from rsq.errors import BadInput, NotFound
from rsq.manifest import artifact_id, decode_manifest
from rsq_registry.blobs import BlobStore
from rsq_registry.catalogue import Catalogue
from rsq_registry.database import open_database
from rsq_registry.garbage import collect
from rsq_registry.verification import verify

MODELS = ("a", "b")
ALIASES = ("production", "staging")
CONTENTS = ("1", "2", "3")
LEASE_SECONDS = 1000


@dataclass
class KnownVersion:
    ids: frozenset[str]
    files: frozenset[str]
    deprecated: str | None = None
    deleted: bool = False


@dataclass
class World:
    """What the registry ought to hold."""

    versions: dict[str, list[KnownVersion]] = field(default_factory=dict)
    aliases: dict[tuple[str, str], int] = field(default_factory=dict)
    history: dict[str, list[tuple[str, int | None]]] = field(default_factory=dict)
    leases: dict[str, datetime] = field(default_factory=dict)
    manifests: set[str] = field(default_factory=set)

    def newest(self, model: str) -> int | None:
        kept = [n for n, v in enumerate(self.versions.get(model, []), 1) if not v.deleted]
        return max(kept, default=None)

    def needed(self) -> set[str]:
        files = {f for vs in self.versions.values() for v in vs if not v.deleted for f in v.files}
        return files | self.manifests


models = st.sampled_from(MODELS)
aliases = st.sampled_from(ALIASES)
numbers = st.integers(1, 6)


class LifecycleMachine(RuleBasedStateMachine):
    """Publish, alias, deprecate, delete, collect, pull and the passing of time, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="lifecycle-"))
        self.engine = open_database(self.folder / "registry.db")
        self.blobs = BlobStore(self.folder / "blobs")
        self.at = datetime(2026, 3, 1, tzinfo=UTC)
        self.catalogue = Catalogue(self.engine, self.blobs, now=lambda: self.at)
        self.world = World()
        self.taken: Counter[str] = Counter()  # steps by name

    def teardown(self) -> None:
        self.engine.dispose()
        shutil.rmtree(self.folder)

    @rule(model=models, content=st.sampled_from(CONTENTS), alias=st.none() | aliases)
    def publish(self, model: str, content: str, alias: str | None) -> None:
        self.taken["publish"] += 1
        draft = make_draft(self.blobs, model=model, content=content)
        manifests = {artifact_id(data): decode_manifest(data) for data in draft.artifacts}
        files = frozenset(e.sha256 for m in manifests.values() for e in m.files)
        row = self.catalogue.add_version(
            type(draft)(**{**draft.__dict__, "alias": alias, "by": "machine"})
        )
        known = self.world.versions.setdefault(model, [])
        known.append(KnownVersion(frozenset(manifests), files))
        self.world.manifests |= manifests.keys()
        assert row.version == len(known)
        if alias is not None:
            self._moved(model, alias, row.version)

    @rule(model=models, alias=aliases, number=numbers)
    def set_alias(self, model: str, alias: str, number: int) -> None:
        self.taken["set_alias"] += 1
        known = self.world.versions.get(model, [])
        try:
            self.catalogue.set_alias(model, alias, number, "machine")
        except NotFound:
            assert number > len(known) or known[number - 1].deleted
        else:
            assert not known[number - 1].deleted
            self._moved(model, alias, number)

    @rule(model=models, alias=aliases)
    def remove_alias(self, model: str, alias: str) -> None:
        self.taken["remove_alias"] += 1
        try:
            self.catalogue.set_alias(model, alias, None, "machine")
        except NotFound:
            assert (model, alias) not in self.world.aliases
        else:
            del self.world.aliases[model, alias]
            self.world.history[model].append((alias, None))

    @rule(model=models, number=numbers, reason=st.none() | st.just("old"))
    def deprecate(self, model: str, number: int, reason: str | None) -> None:
        self.taken["deprecate"] += 1
        known = self.world.versions.get(model, [])
        try:
            self.catalogue.deprecate(model, number, reason)
        except NotFound:
            assert number > len(known) or known[number - 1].deleted
        else:
            known[number - 1].deprecated = reason

    @rule(model=models, number=numbers)
    def delete(self, model: str, number: int) -> None:
        self.taken["delete"] += 1
        known = self.world.versions.get(model, [])
        held = number in [n for (m, _), n in self.world.aliases.items() if m == model]
        try:
            self.catalogue.delete_version(model, number)
        except NotFound:
            assert number > len(known) or known[number - 1].deleted
        except BadInput:
            assert held
        else:
            assert not held
            known[number - 1].deleted = True

    @rule()
    def collect(self) -> None:
        self.taken["collect"] += 1
        collect(self.catalogue, self.blobs, dry_run=False)
        kept = {digest for digest, until in self.world.leases.items() if until > self.at}
        left = set(self.blobs.digests())
        assert self.world.needed() <= left <= self.world.needed() | kept

    @rule(model=models)
    def pull(self, model: str) -> None:
        """As a node does: resolve, lease through the manifest, read."""
        self.taken["pull"] += 1
        number = self.world.aliases.get((model, "production")) or self.world.newest(model)
        try:
            row = self.catalogue.resolve_reference(model)
        except NotFound:
            assert number is None
            return
        assert row.version == number
        known = self.world.versions[model][row.version - 1]
        assert {artifact.id for artifact in row.artifacts} == known.ids
        self.catalogue.lease(list(known.files), seconds=LEASE_SECONDS)
        until = self.at + timedelta(seconds=LEASE_SECONDS)
        for digest in known.files:
            self.world.leases[digest] = max(self.world.leases.get(digest, until), until)
            self.blobs.verify(digest)

    @precondition(lambda self: self.world.leases)
    @rule()
    def finish_a_slow_pull(self) -> None:
        """Whatever was deleted meanwhile, what is leased can still be read."""
        self.taken["finish_a_slow_pull"] += 1
        for digest, until in self.world.leases.items():
            if until > self.at:
                self.blobs.verify(digest)

    @rule(seconds=st.sampled_from([1, 600, 5000]))
    def wait(self, seconds: int) -> None:
        self.taken["wait"] += 1
        self.at += timedelta(seconds=seconds)

    @rule()
    def verify(self) -> None:
        self.taken["verify"] += 1
        assert verify(self.catalogue, self.blobs).is_clean

    @invariant()
    def describes_every_version(self) -> None:
        for model, known in self.world.versions.items():
            history = [(e.alias, e.version) for e in self.catalogue.alias_history(model)]
            assert history == self.world.history.get(model, [])
            for number, version in enumerate(known, 1):
                row = self.catalogue.version(model, number)
                assert (row.deprecated, row.deleted_at is not None) == (
                    version.deprecated,
                    version.deleted,
                )

    def _moved(self, model: str, alias: str, number: int) -> None:
        self.world.aliases[model, alias] = number
        self.world.history.setdefault(model, []).append((alias, number))
