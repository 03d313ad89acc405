"""What a registry says, held against what was signed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tiny_artifacts import SOURCE_DIGEST, TinyArtifact, build_artifact, build_version

from rsq.errors import NotFound, RolledBack, UnsignedArtifact, WrongTarget
from rsq.records import AliasEvent, VersionRow
from rsq.updates.signed_version import aliases_to_target, to_targets
from rsq_agent.trust.promotion import explain
from rsq_agent.trust.signed_versions import SignedTarget, vouch


class Signed:
    """Versions 1 and 2 of `tiny`, of which `production` is 1 and `staging` 2."""

    def __init__(self, artifacts: list[TinyArtifact]) -> None:
        self.versions = [
            replace(build_version([one.row()], number=number), source_digest=SOURCE_DIGEST)
            for number, one in enumerate(artifacts, start=1)
        ]
        manifests = {one.id: one.manifest_bytes for one in artifacts}
        events = [
            AliasEvent("tiny", alias, version, "2026-01-01T00:00:00Z", "ann")
            for alias, version in (("production", 1), ("staging", 2))
        ]
        files = [
            *(file for row in self.versions for file in to_targets(row, manifests.__getitem__)),
            aliases_to_target("tiny", 2, events),
        ]
        self.targets: dict[str, Any] = {
            file.path: SignedTarget(file.sha256, file.custom) for file in files
        }

    def vouch(self, reference: str, version: VersionRow) -> VersionRow:
        return vouch(self.targets.get, reference, version)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> list[TinyArtifact]:
    folder = tmp_path_factory.mktemp("artifacts")
    return [build_artifact(folder / str(seed), "vision", seed=seed) for seed in (1, 2)]


@pytest.fixture
def signed(artifacts: list[TinyArtifact]) -> Signed:
    return Signed(artifacts)


@pytest.mark.parametrize(
    ("reference", "number"),
    [
        ("tiny", 1),
        ("tiny@production", 1),
        ("tiny@staging", 2),
        ("tiny:1", 1),
        ("tiny:2", 2),
        ("", 2),
    ],
)
def test_what_was_signed_for_a_reference_is_taken_as_it_is(
    signed: Signed, reference: str, number: int
) -> None:
    version = signed.versions[number - 1]
    assert signed.vouch(reference, version) == version


def test_a_bare_name_without_production_is_the_newest_signed_one(signed: Signed) -> None:
    target = aliases_to_target("tiny", 2, [])
    signed.targets[target.path] = SignedTarget(target.sha256, target.custom)
    assert signed.vouch("tiny", signed.versions[1]).version == 2
    with pytest.raises(RolledBack):
        signed.vouch("tiny", signed.versions[0])


@pytest.mark.parametrize(
    ("reference", "number", "error"),
    [
        ("tiny@staging", 1, RolledBack),
        ("tiny", 2, WrongTarget),
        ("tiny@unknown", 2, WrongTarget),
        ("tiny:1", 2, WrongTarget),
        ("other", 1, WrongTarget),
    ],
)
def test_another_version_than_the_signed_one_is_refused(
    signed: Signed, reference: str, number: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        signed.vouch(reference, signed.versions[number - 1])


def test_what_the_registry_adds_or_changes_does_not_count(signed: Signed) -> None:
    version = signed.versions[0]
    lies = replace(
        version, source="elsewhere", licence="none", created_at="1970", source_digest="x"
    )
    assert signed.vouch("tiny:1", lies) == version
    for change in ({"space_id": "0" * 64}, {"dimension": 3}):
        with pytest.raises(WrongTarget, match="space"):
            signed.vouch("tiny:1", replace(version, **change))  # type: ignore[arg-type]
    row = replace(version.artifacts[0], variant="int8")
    with pytest.raises(UnsignedArtifact):
        signed.vouch("tiny:1", replace(version, artifacts=(row,)))
    with pytest.raises(UnsignedArtifact):
        signed.vouch("tiny:3", replace(version, version=3))


def test_an_artifact_of_another_version_is_refused(signed: Signed) -> None:
    swapped = replace(signed.versions[0], artifacts=signed.versions[1].artifacts)
    with pytest.raises(WrongTarget, match="exchanged"):
        signed.vouch("tiny:1", swapped)


def test_the_record_of_another_version_is_refused(signed: Signed) -> None:
    signed.targets["tiny/1/version.json"] = signed.targets["tiny/2/version.json"]
    with pytest.raises(WrongTarget):
        signed.vouch("tiny:1", signed.versions[0])


def test_a_promotion_is_explained_from_what_was_signed(signed: Signed) -> None:
    why = explain(signed.targets.get, "tiny@staging")
    assert (why["version"], why["source"]) == (2, "tests")
    assert why["aliases"] == {"staging": {"at": "2026-01-01T00:00:00Z", "by": "ann"}}
    assert why["artifacts"][0]["lineage"]["source_digest"] == SOURCE_DIGEST
    for reference in ("other", "tiny:3", "tiny@unknown"):
        with pytest.raises(NotFound):
            explain(signed.targets.get, reference)
