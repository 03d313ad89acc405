"""What the catalogue promises, whatever database is under it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import Engine
from unit.registry.samples import make_draft, make_profile, make_report, with_batches

from rsq.digest import digest_bytes
from rsq.errors import BadInput, BadManifest, IntegrityError, NotFound, RsqError, SpaceMismatch
from rsq.manifest import artifact_id
from rsq.records import ModelRow, PairEvaluation
from rsq_registry.aliases import AliasEvent
from rsq_registry.blobs import BlobStore
from rsq_registry.catalogue import Catalogue
from rsq_registry.drafts import VersionDraft
from rsq_registry.profiles import KEPT_PROFILES

MARCH = datetime(2026, 3, 1, 12, tzinfo=UTC)
ABSENT = digest_bytes(b"absent")


@pytest.fixture
def catalogue(engine: Engine, blobs: BlobStore) -> Catalogue:
    hours = iter(range(10_000))
    return Catalogue(engine, blobs, now=lambda: MARCH + timedelta(hours=next(hours)))


def test_gives_back_all_that_was_published(catalogue: Catalogue, blobs: BlobStore) -> None:
    draft = make_draft(blobs)
    row = catalogue.add_version(replace(draft, alias="staging"))
    assert (row.model, row.version, row.aliases) == ("demo", 1, ("staging",))
    assert (row.space_id, row.dimension) == (draft.space_id, draft.dimension)
    assert (row.licence, row.source) == (draft.licence, draft.source)
    assert row.created_at == "2026-03-01T12:00:00.000000Z"
    assert [artifact.id for artifact in row.artifacts] == [artifact_id(m) for m in draft.artifacts]
    assert [(a.tower, a.variant) for a in row.artifacts] == [
        ("vision", "fp32"),
        ("vision", "int8"),
        ("text", "fp32"),
        ("text", "int8"),
    ]
    assert row.artifacts[0].providers == ("CPUExecutionProvider", "CUDAExecutionProvider")
    assert all(artifact.size_bytes > 0 and artifact.batch_invariant for artifact in row.artifacts)
    assert tuple(artifact.evaluation for artifact in row.artifacts) == draft.evaluations
    assert tuple(profile for a in row.artifacts for profile in a.profiles) == draft.profiles
    assert row.pairs == draft.pairs
    assert catalogue.version("demo", 1) == row
    assert catalogue.artifact_manifest(row.artifacts[0].id) == draft.artifacts[0]


def test_numbers_count_up_per_model(catalogue: Catalogue, blobs: BlobStore) -> None:
    numbers = [
        catalogue.add_version(make_draft(blobs, model=model, content=str(round_))).version
        for round_ in range(3)
        for model in ("a", "b")
    ]
    assert numbers == [1, 1, 2, 2, 3, 3]


def test_lists_models_with_their_newest_version_and_aliases(
    catalogue: Catalogue, blobs: BlobStore
) -> None:
    assert catalogue.models() == []
    catalogue.add_version(make_draft(blobs, model="b"))
    catalogue.add_version(make_draft(blobs, model="a", content="1"))
    catalogue.add_version(make_draft(blobs, model="a", content="2"))
    catalogue.set_alias("a", "production", 1, "ops")
    assert catalogue.models() == [ModelRow("a", 2, 2, {"production": 1}), ModelRow("b", 1, 1, {})]


def test_one_artifact_belongs_to_several_versions(catalogue: Catalogue, blobs: BlobStore) -> None:
    draft = make_draft(blobs)
    first, second = catalogue.add_version(draft), catalogue.add_version(draft)
    other = catalogue.add_version(replace(draft, model="other"))
    assert first.artifacts == second.artifacts == other.artifacts
    assert first.pairs == second.pairs == other.pairs
    assert (first.version, second.version, other.version) == (1, 2, 1)


def test_the_newest_evaluation_is_shown(catalogue: Catalogue, blobs: BlobStore) -> None:
    draft = make_draft(blobs)
    catalogue.add_version(draft)
    better = tuple(replace(e, metrics={"cosine_mean": 0.75}) for e in draft.evaluations)
    pairs = tuple(replace(pair, metrics={"top1_match": 0.5}) for pair in draft.pairs)
    catalogue.add_version(replace(draft, evaluations=better, pairs=pairs))
    again = catalogue.add_version(draft)  # back to the first records: they are the newest now
    assert tuple(a.evaluation for a in again.artifacts) == draft.evaluations
    assert again.pairs == draft.pairs


def test_pairs_of_artifacts_outside_the_version_stay_out(
    catalogue: Catalogue, blobs: BlobStore
) -> None:
    draft = make_draft(blobs)
    catalogue.add_version(draft)
    half = replace(
        draft,
        artifacts=draft.artifacts[:2],
        evaluations=draft.evaluations[:2],
        profiles=draft.profiles[:2],
        pairs=(),
    )
    assert catalogue.add_version(half).pairs == ()


def test_resolves_every_form_of_reference(catalogue: Catalogue, blobs: BlobStore) -> None:
    for content in "123":
        catalogue.add_version(make_draft(blobs, content=content))
    assert catalogue.resolve_reference("demo").version == 3  # no production yet: the newest
    assert catalogue.resolve_reference("demo:2").version == 2
    catalogue.set_alias("demo", "production", 1, "ops")
    catalogue.set_alias("demo", "staging", 2, "ops")
    assert catalogue.resolve_reference("demo").version == 1
    assert catalogue.resolve_reference("demo@staging").version == 2
    catalogue.set_alias("demo", "production", None, "ops")
    assert catalogue.resolve_reference("demo").version == 3


def test_unknown_references_name_what_there_is(catalogue: Catalogue, blobs: BlobStore) -> None:
    def refusal(text: str) -> str:
        with pytest.raises(NotFound) as refused:
            catalogue.resolve_reference(text)
        return refused.value.message

    assert refusal("x") == "Unknown model 'x'; this registry is empty."
    catalogue.add_version(make_draft(blobs, model="b"))
    catalogue.add_version(make_draft(blobs, model="a"))
    assert refusal("x") == "Unknown model 'x'; this registry has: a, b."
    assert refusal("a:2") == "Model 'a' has no version 2; it has only version 1."
    assert refusal("a@staging") == "Model 'a' has no alias 'staging'; it has none."
    catalogue.add_version(make_draft(blobs, model="a"))
    catalogue.set_alias("a", "production", 2, "ops")
    assert refusal("a:7") == "Model 'a' has no version 7; it has 1 to 2."
    assert (
        refusal("a@staging") == "Model 'a' has no alias 'staging'; it has: production (version 2)."
    )
    for number in range(15):
        catalogue.add_version(make_draft(blobs, model=f"m{number:02d}"))
    assert refusal("x").endswith("m06, m07 and 7 more.")
    with pytest.raises(BadInput, match="NAME:3"):
        catalogue.resolve_reference("no spaces")


def test_alias_history_only_grows(catalogue: Catalogue, blobs: BlobStore) -> None:
    catalogue.add_version(replace(make_draft(blobs), alias="production", by="alice"))
    catalogue.add_version(make_draft(blobs, content="2"))
    seen = [catalogue.alias_history("demo")]
    for number, by in ((2, "bob"), (None, "carol"), (1, "dave"), (1, "erin")):
        catalogue.set_alias("demo", "production", number, by)
        seen.append(catalogue.alias_history("demo"))
    for before, after in pairwise(seen):
        assert after[:-1] == before  # nothing that was said is ever changed
    assert [(event.version, event.by) for event in seen[-1]] == [
        (1, "alice"),
        (2, "bob"),
        (None, "carol"),
        (1, "dave"),
        (1, "erin"),
    ]
    assert seen[0] == [AliasEvent("demo", "production", 1, "2026-03-01T12:00:00.000000Z", "alice")]
    times = [event.at for event in seen[-1]]
    assert times == sorted(times)


def test_refused_alias_moves_leave_no_event(catalogue: Catalogue, blobs: BlobStore) -> None:
    catalogue.add_version(make_draft(blobs))
    for model, alias, number, by, error in (
        ("nobody", "production", 1, "ops", NotFound),
        ("demo", "production", 2, "ops", NotFound),
        ("demo", "production", 0, "ops", NotFound),
        ("demo", "production", -1, "ops", NotFound),
        ("demo", "production", None, "ops", NotFound),
        ("demo", "3", 1, "ops", BadInput),
        ("a b", "production", 1, "ops", BadInput),
        ("demo", "production", 1, "", BadInput),
        ("demo", "production", 1, "new\nline", BadInput),
    ):
        with pytest.raises(error):
            catalogue.set_alias(model, alias, number, by)
    assert catalogue.alias_history("demo") == []


Change = Callable[[VersionDraft], VersionDraft]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda d: replace(d, model="../x"), BadInput),
        (lambda d: replace(d, alias="7"), BadInput),
        (lambda d: replace(d, by=""), BadInput),
        (lambda d: replace(d, artifacts=()), BadInput),
        (lambda d: replace(d, artifacts=d.artifacts * 2), BadInput),
        (lambda d: replace(d, artifacts=(*d.artifacts, b"{}")), BadManifest),
        (lambda d: replace(d, dimension=5), SpaceMismatch),
        (lambda d: replace(d, space_id=ABSENT), SpaceMismatch),
        (lambda d: replace(d, source_digest=ABSENT), BadInput),
        (lambda d: replace(d, licence="x" * 513), BadInput),
        (lambda d: replace(d, source="a\x00b"), BadInput),
        (lambda d: replace(d, details_digest="../registry.db"), BadInput),
        (lambda d: replace(d, details_digest=ABSENT), NotFound),
        (lambda d: replace(d, artifacts=d.artifacts[1:]), BadInput),  # records of a missing one
        (lambda d: replace(d, profiles=(make_profile(ABSENT),)), BadInput),
        (
            lambda d: replace(d, profiles=(replace(d.profiles[0], p50_ms=float("nan")),)),
            BadInput,
        ),
        (lambda d: replace(d, profiles=(replace(d.profiles[0], peak_bytes=2**63),)), BadInput),
        (lambda d: replace(d, profiles=(replace(d.profiles[0], batch=0),)), BadInput),
        (
            lambda d: replace(d, evaluations=(replace(d.evaluations[0], metrics={"x": 1e400}),)),
            BadInput,
        ),
        (
            lambda d: replace(d, evaluations=(replace(d.evaluations[0], dataset_digest="x"),)),
            BadInput,
        ),
        (
            lambda d: replace(
                d,
                pairs=(PairEvaluation(d.pairs[0].text_id, d.pairs[0].vision_id, "s", ABSENT, {}),),
            ),
            BadInput,
        ),
    ],
)
def test_a_bad_draft_leaves_nothing(
    catalogue: Catalogue, blobs: BlobStore, change: Change, error: type[RsqError]
) -> None:
    with pytest.raises(error):
        catalogue.add_version(change(make_draft(blobs)))
    assert catalogue.models() == []
    assert catalogue.referenced_digests() == set()


def test_two_artifacts_of_one_tower_and_variant_are_refused(
    catalogue: Catalogue, blobs: BlobStore
) -> None:
    one, two = make_draft(blobs), make_draft(blobs, content="other build")
    with pytest.raises(BadInput, match="tower and variant is listed twice"):
        catalogue.add_version(replace(one, artifacts=one.artifacts + two.artifacts))


def test_a_version_needs_its_files_in_the_blob_store(
    catalogue: Catalogue, blobs: BlobStore, tmp_path: Path
) -> None:
    draft = make_draft(blobs)
    graph = digest_bytes(b"graph vision int8 ")
    blobs.delete(graph)
    with pytest.raises(NotFound, match=r"'model\.onnx'.*was not stored"):
        catalogue.add_version(draft)
    truncated = tmp_path / "blobs" / "sha256" / graph[:2] / graph
    truncated.write_bytes(b"gr")
    with pytest.raises(IntegrityError, match="another size"):
        catalogue.add_version(draft)
    assert catalogue.models() == []


def test_a_crash_before_the_row_leaves_only_unreferenced_blobs(
    catalogue: Catalogue, blobs: BlobStore
) -> None:
    catalogue.add_version(make_draft(blobs))
    needed = set(blobs.digests())
    assert catalogue.referenced_digests() == needed

    lost = make_draft(blobs, content="the publisher dies after storing this")
    for data in lost.artifacts:
        blobs.put_bytes(data)
    assert catalogue.referenced_digests() == needed
    unreferenced = set(blobs.digests()) - catalogue.referenced_digests()
    assert len(unreferenced) == 8  # a graph and a manifest each; the tokenizer is shared
    for digest in unreferenced:
        blobs.delete(digest)
    assert catalogue.version("demo", 1).artifacts != ()
    assert set(blobs.digests()) == needed


def test_a_version_names_the_report_data_that_was_stored_for_it(
    catalogue: Catalogue, blobs: BlobStore
) -> None:
    draft = make_draft(blobs)
    catalogue.add_version(draft)
    needed = catalogue.referenced_digests()
    digest = blobs.put_bytes(b"what a report shows")
    second = catalogue.add_version(replace(draft, details_digest=digest))
    assert catalogue.version("demo", 1).details_digest is None
    assert catalogue.version("demo", second.version).details_digest == digest
    assert catalogue.referenced_digests() == {*needed, digest}
    for model, number in (("demo", 3), ("other", 1)):
        with pytest.raises(NotFound):
            catalogue.version(model, number)


def test_manifests_of_unknown_or_damaged_artifacts_are_not_served(
    catalogue: Catalogue, blobs: BlobStore, tmp_path: Path
) -> None:
    identity = catalogue.add_version(make_draft(blobs)).artifacts[0].id
    with pytest.raises(NotFound, match=ABSENT):
        catalogue.artifact_manifest(ABSENT)
    with pytest.raises(NotFound):  # a blob, and not a manifest
        catalogue.artifact_manifest(digest_bytes(b"graph vision fp32 "))
    with pytest.raises(BadInput):
        catalogue.artifact_manifest("../registry.db")
    path = tmp_path / "blobs" / "sha256" / identity[:2] / identity
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-1] + b" ")
    with pytest.raises(IntegrityError, match="damaged"):
        catalogue.artifact_manifest(identity)


def test_profiles_append_without_repeats_and_stay_bounded(
    catalogue: Catalogue, blobs: BlobStore
) -> None:
    draft = make_draft(blobs)
    row = catalogue.add_version(draft)
    identity = row.artifacts[0].id
    many = with_batches(make_profile(identity, source="node:n1"), KEPT_PROFILES + 6)
    catalogue.add_profiles(many[:10])
    catalogue.add_profiles(many[:10])
    assert catalogue.version("demo", 1).artifacts[0].profiles == (draft.profiles[0], *many[:10])
    catalogue.add_profiles(many)
    # the publisher's own stays: the bound is per source, and the newest are kept
    assert catalogue.version("demo", 1).artifacts[0].profiles == (draft.profiles[0], *many[6:])
    assert catalogue.version("demo", 1).artifacts[1].profiles == (draft.profiles[1],)


def test_profiles_are_added_all_or_none(catalogue: Catalogue, blobs: BlobStore) -> None:
    row = catalogue.add_version(make_draft(blobs))
    good = make_profile(row.artifacts[0].id, source="node:n1")
    for bad, error in ((make_profile(ABSENT), NotFound), (replace(good, p95_ms=-1.0), BadInput)):
        with pytest.raises(error):
            catalogue.add_profiles([good, bad])
    catalogue.add_profiles([])
    assert catalogue.version("demo", 1) == row


def test_a_nodes_report_replaces_the_last_and_feeds_the_profiles(
    catalogue: Catalogue, blobs: BlobStore
) -> None:
    ids = tuple(artifact.id for artifact in catalogue.add_version(make_draft(blobs)).artifacts)
    report = make_report("n1", ids[:2])
    catalogue.record_node(report)
    sources = [
        [profile.source for profile in artifact.profiles]
        for artifact in catalogue.version("demo", 1).artifacts
    ]
    assert sources == [["publisher", "node:n1"]] * 2 + [["publisher"]] * 2

    (row,) = catalogue.nodes()
    measured = tuple(replace(profile, source="node:n1") for profile in report.profiles)
    assert row.report == replace(report, profiles=measured)

    moved = replace(
        report, artifact_ids=(ids[3],), providers=("A", "B"), hostname="new", profiles=()
    )
    catalogue.record_node(moved)
    catalogue.record_node(make_report("n0"))
    first, second = catalogue.nodes()
    assert (first.report.node_id, second.report) == ("n0", moved)
    assert second.seen_at > row.seen_at
    assert len(catalogue.version("demo", 1).artifacts[0].profiles) == 2  # the profiles stay


def test_a_node_may_run_what_this_registry_does_not_hold_or_nothing(catalogue: Catalogue) -> None:
    mirrored = make_report("n1", (ABSENT,))
    idle = replace(make_report("n2"), model="", version=0)
    catalogue.record_node(mirrored)
    catalogue.record_node(idle)
    assert [row.report for row in catalogue.nodes()] == [replace(mirrored, profiles=()), idle]


@pytest.mark.parametrize(
    "change",
    [
        {"node_id": ""},
        {"node_id": "a b"},
        {"node_id": "x" * 129},
        {"hostname": "a\nb"},
        {"memory_bytes": -1},
        {"memory_bytes": 2**63},
        {"model": "a:b"},
        {"version": -1},
        {"artifact_ids": ("x",)},
        {"artifact_ids": (ABSENT,) * 65},
        {"providers": ("",)},
        {"profiles": (make_profile(ABSENT),) * 65},
        {"profiles": (replace(make_profile(ABSENT), load_ms=float("inf")),)},
    ],
    ids=str,
)
def test_a_malformed_report_is_refused(catalogue: Catalogue, change: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        catalogue.record_node(replace(make_report(), **change))  # type: ignore[arg-type]
    assert catalogue.nodes() == []


def test_two_processes_publishing_at_once_never_share_a_number(
    tmp_path: Path, blobs: BlobStore, database: str
) -> None:
    program = """
import sys
from itertools import pairwise
from pathlib import Path
from rsq_registry.blobs import BlobStore
from rsq_registry.catalogue import Catalogue
from rsq_registry.database import open_database
from unit.registry.samples import make_draft

root, database = Path(sys.argv[1]), sys.argv[2]
blobs = BlobStore(root / "blobs")
engine = open_database(database)  # both find no database and want to make it
catalogue = Catalogue(engine, blobs)
for place in range(20):
    print(catalogue.add_version(make_draft(blobs, content=f"{place % 3}")).version, flush=True)
engine.dispose()
"""
    tests = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": str(tests)}
    writers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program, str(tmp_path), database],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(2)
    ]
    outputs = [writer.communicate()[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert [len(output) for output in outputs] == [20, 20]
    assert sorted(int(number) for output in outputs for number in output) == list(range(1, 41))


def test_threads_publish_move_aliases_and_report_at_once(
    catalogue: Catalogue, blobs: BlobStore
) -> None:
    drafts = [make_draft(blobs, content=str(place % 2)) for place in range(12)]
    catalogue.add_version(drafts[0])

    def work(place: int) -> int:
        number = catalogue.add_version(drafts[place]).version
        catalogue.set_alias("demo", "production", number, f"thread-{place}")
        catalogue.record_node(make_report("n1"))
        return number

    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(work, range(12)))
    assert sorted(numbers) == list(range(2, 14))
    history = catalogue.alias_history("demo")
    assert sorted(event.version or 0 for event in history) == list(range(2, 14))
    assert catalogue.resolve_reference("demo").version == history[-1].version
