from __future__ import annotations

from dataclasses import replace

import pytest
from tiny_artifacts import SOURCE_DIGEST, TinyArtifact, build_artifact, build_version

from rsq.errors import Untrusted
from rsq.records import AliasEvent, ArtifactEvaluation, VersionRow
from rsq.updates.signed_version import (
    aliases_to_target,
    read_aliases,
    read_promotions,
    read_version,
    to_targets,
)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> TinyArtifact:
    return build_artifact(tmp_path_factory.mktemp("artifact"), "vision", "int8")


@pytest.fixture
def version(artifact: TinyArtifact) -> VersionRow:
    evaluation = ArtifactEvaluation(artifact.id, "set", "d" * 64, {"cosine_mean": 0.1 + 0.2})
    row = replace(artifact.row(), evaluation=evaluation)
    return replace(build_version([row], number=3), source_digest=SOURCE_DIGEST)


def test_a_version_reads_as_it_was_signed_but_for_its_profiles(
    version: VersionRow, artifact: TinyArtifact
) -> None:
    record, signed = to_targets(version, lambda identity: artifact.manifest_bytes)
    assert (record.path, signed.path) == ("tiny/3/version.json", "tiny/3/vision/int8.json")
    assert (signed.sha256, signed.size_bytes) == (artifact.id, len(artifact.manifest_bytes))
    assert signed.custom["lineage"]["source_digest"] == SOURCE_DIGEST
    rows = tuple(replace(row, profiles=()) for row in version.artifacts)
    assert read_version(record.custom, {artifact.id: signed.custom}) == replace(
        version, artifacts=rows
    )
    assert read_version(record.custom, {}).artifacts[0].evaluation is None


def test_signed_texts_hold_no_fractions(version: VersionRow, artifact: TinyArtifact) -> None:
    """The canonical JSON of signed metadata knows integers only."""

    def numbers(value: object) -> list[object]:
        if isinstance(value, dict):
            return [found for part in value.values() for found in numbers(part)]
        return [value] if isinstance(value, float) else []

    files = to_targets(version, lambda identity: artifact.manifest_bytes)
    assert [found for file in files for found in numbers(file.custom)] == []


def test_the_last_move_of_an_alias_is_signed() -> None:
    events = [
        AliasEvent("tiny", alias, version, f"2026-01-0{day}T00:00:00Z", "ann")
        for alias, version, day in (("production", 1, 1), ("old", 1, 2), ("production", 2, 3))
    ]
    events.append(AliasEvent("tiny", "old", None, "2026-01-04T00:00:00Z", "ann"))
    target = aliases_to_target("tiny", 2, events)
    aliases = read_aliases(target.custom)
    assert (aliases.newest, aliases.versions) == (2, {"production": 2})
    assert read_promotions(target.custom) == {
        "production": {"at": "2026-01-03T00:00:00Z", "by": "ann"}
    }


@pytest.mark.parametrize(
    "custom",
    [
        None,
        [],
        {},
        {"record": 3},
        {"record": "{"},
        {"record": "{}"},
        {"record": '{"artifacts":[3]}'},
    ],
)
def test_a_malformed_record_is_refused(custom: object) -> None:
    with pytest.raises(Untrusted):
        read_version(custom, {})


@pytest.mark.parametrize(
    "custom",
    [
        None,
        {},
        {"newest": 1},
        {"newest": 0, "aliases": {}},
        {"newest": 1, "aliases": []},
        {"newest": 1, "aliases": {"a": {"version": "1"}}},
        {"newest": 1, "aliases": {str(n): {"version": 1} for n in range(1001)}},
    ],
)
def test_malformed_aliases_are_refused(custom: object) -> None:
    with pytest.raises(Untrusted):
        read_aliases(custom)
