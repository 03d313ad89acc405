"""rsq_server.submissions: a record that comes again is the version that it made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from unit.registry.samples import make_draft, make_profile

from rsq.digest import digest_bytes
from rsq.errors import BadInput, NotFound
from rsq.records import PairEvaluation, VersionRow
from rsq.version_record import encode_version
from rsq_registry.blobs import Blobs
from rsq_registry.catalogue import Catalogue
from rsq_registry.drafts import VersionDraft
from rsq_server import submissions as submissions_module
from rsq_server.app import open_stores
from rsq_server.config import ServerConfig
from rsq_server.remote import describe_draft
from rsq_server.submissions import Submissions, is_made_from


@dataclass
class World:
    catalogue: Catalogue
    blobs: Blobs
    submissions: Submissions

    def add(self, draft: VersionDraft, alias: str | None = None) -> VersionRow:
        for data in draft.artifacts:
            self.blobs.put_bytes(data)
        return self.submissions.add(
            encode_version(describe_draft(draft)), alias=alias, by="somebody"
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_stores(ServerConfig(tmp_path)) as stores:
        yield World(stores.catalogue, stores.blobs, Submissions(stores.catalogue, stores.blobs))


@pytest.fixture
def draft(world: World) -> VersionDraft:
    return make_draft(world.blobs)


def test_a_record_that_comes_again_is_the_same_version(world: World, draft: VersionDraft) -> None:
    first = world.add(draft, "production")
    assert (first.version, first.aliases) == (1, ("production",))
    assert world.add(draft, "production") == first
    [event] = world.catalogue.alias_history("demo")
    assert event.by == "somebody"


def test_it_is_found_though_another_version_came_between(world: World, draft: VersionDraft) -> None:
    world.add(draft)
    world.add(make_draft(world.blobs, content="other"))
    assert world.add(draft).version == 1


def test_it_is_found_though_nodes_measured_meanwhile(world: World, draft: VersionDraft) -> None:
    row = world.add(draft)
    world.catalogue.add_profiles([make_profile(row.artifacts[0].id, batch=8, source="node:edge-7")])
    world.catalogue.deprecate("demo", 1, "slow")
    assert world.add(draft).version == 1


def test_another_alias_moves_to_it(world: World, draft: VersionDraft) -> None:
    world.add(draft)
    row = world.add(draft, "staging")
    assert (row.version, row.aliases) == (1, ("staging",))


def test_a_deleted_version_is_not_it(world: World, draft: VersionDraft) -> None:
    world.add(draft)
    world.catalogue.delete_version("demo", 1)
    assert world.add(draft).version == 2


@pytest.mark.parametrize("what", ["licence", "source", "profiles", "evaluations", "pairs"])
def test_a_record_that_says_something_else_is_another_version(
    world: World, draft: VersionDraft, what: str
) -> None:
    world.add(draft)
    other = {
        "licence": "MIT",
        "source": "elsewhere",
        "profiles": tuple(replace(p, p95_ms=9.0) for p in draft.profiles),
        "evaluations": tuple(replace(e, dataset="others") for e in draft.evaluations),
        "pairs": tuple(replace(p, metrics={"top1_match": 0.5}) for p in draft.pairs),
    }
    assert world.add(replace(draft, **{what: other[what]})).version == 2


def test_what_was_not_sent_is_named(world: World, draft: VersionDraft) -> None:
    record = encode_version(describe_draft(draft))
    with pytest.raises(NotFound, match="no blob"):
        world.submissions.add(record, alias=None, by="somebody")
    assert world.catalogue.models() == []


def test_a_manifest_too_large_is_not_read(
    world: World, draft: VersionDraft, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submissions_module, "MAX_MANIFEST_BYTES", 10)
    with pytest.raises(BadInput, match="too large"):
        world.add(draft)


def test_all_that_was_sent_must_be_there(draft: VersionDraft) -> None:
    sent = describe_draft(draft)
    stored = replace(sent, version=7, created_at="2026-01-01T00:00:00Z", aliases=("production",))
    assert is_made_from(stored, sent)
    more = PairEvaluation("a" * 64, "b" * 64, "scenes", digest_bytes(b""), {})
    assert is_made_from(replace(stored, pairs=(more, *sent.pairs)), sent)
    assert not is_made_from(stored, replace(sent, pairs=(more, *sent.pairs)))
    assert not is_made_from(replace(stored, artifacts=stored.artifacts[::-1]), sent)
    assert not is_made_from(replace(stored, artifacts=stored.artifacts[1:]), sent)
