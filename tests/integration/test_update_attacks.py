"""Ten attacks on a node that has pinned a root: each ends in an error of its own and leaves the
node with what it served."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fake_registry import FakeRegistry, serve_registry
from securesystemslib.signer import CryptoSigner
from tiny_artifacts import SOURCE_DIGEST, TinyArtifact, build_artifact, build_version
from update_repository import UpdateRepository, serve_updates

from rsq.errors import (
    BadMirror,
    ClockWrong,
    EndlessData,
    ExpiredMetadata,
    FastForwarded,
    ForeignMetadata,
    IntegrityError,
    MixedMetadata,
    RolledBack,
    SlowRetrieval,
    TooFewSignatures,
    UnsignedArtifact,
    WrongTarget,
)
from rsq.providers import CPU_PROVIDER
from rsq.records import AliasEvent, ArtifactEvaluation
from rsq.resolve import Device, Request
from rsq.rpc.registry import RegistryClient
from rsq.rpc.trust import FILE_SECONDS, TrustClient
from rsq.updates.fetcher import MAX_STEP
from rsq.updates.names import MetadataName
from rsq_agent.cache import Cache
from rsq_agent.pulling.pull import PullPlan, fetch_plan, plan_pull, to_activation
from rsq_agent.state import load_state, save_state
from rsq_agent.trust.folder import TrustFolder
from rsq_agent.trust.updating import Trust

REQUEST = Request(Device("cpu", (CPU_PROVIDER,)), towers=("vision",))
SLOW_SECONDS = 0.5  # that one file may take, where one trickles


@dataclass
class World:
    """A node that serves version 1, and a registry that has signed version 2 since."""

    registry: FakeRegistry
    updates: UpdateRepository
    registry_address: str
    client: RegistryClient
    trust_client: TrustClient
    cache: Cache
    now: datetime
    file_seconds: float = FILE_SECONDS

    def plan(self, reference: str = "tiny") -> PullPlan:
        folder = TrustFolder(self.cache.home)
        trust = Trust(folder, now=lambda: self.now, seconds=self.file_seconds)
        verified = trust.update(self.trust_client)
        return plan_pull(self.client, self.cache, reference, REQUEST, vouch=verified.vouch)

    def pull(self, reference: str = "tiny") -> None:
        plan = self.plan(reference)
        fetch_plan(self.client, self.cache, plan, readers=1, on_bytes=lambda count: None)
        save_state(self.cache, load_state(self.cache).activate(to_activation(plan, REQUEST)))

    def move_alias(self, version: int) -> None:
        event = AliasEvent("tiny", "production", version, "2026-01-01T00:00:00Z", "tests")
        self.updates.sign_aliases("tiny", 2, [event])
        self.updates.publish()


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> list[TinyArtifact]:
    folder = tmp_path_factory.mktemp("artifacts")
    return [build_artifact(folder / str(seed), "vision", seed=seed) for seed in (1, 2, 3)]


@pytest.fixture
def world(artifacts: list[TinyArtifact], tmp_path: Path) -> Iterator[World]:
    registry, updates = FakeRegistry(), UpdateRepository()
    versions = [
        replace(build_version([artifact.row()], number=number), source_digest=SOURCE_DIGEST)
        for number, artifact in enumerate(artifacts[:2], start=1)
    ]
    manifests = {artifact.id: artifact.manifest_bytes for artifact in artifacts}
    with ExitStack() as stack:
        address = stack.enter_context(serve_registry(registry))
        world = World(
            registry,
            updates,
            address,
            stack.enter_context(RegistryClient(address)),
            stack.enter_context(TrustClient(stack.enter_context(serve_updates(updates)))),
            Cache(tmp_path / "agent"),
            updates.now,
        )
        TrustFolder(world.cache.home).pin(updates.first_root())
        registry.add(versions[0], [artifacts[0]])
        updates.sign_version(versions[0], manifests)
        world.move_alias(1)
        world.pull()
        registry.add(versions[1], [artifacts[1]])
        updates.sign_version(versions[1], manifests)
        world.move_alias(2)
        registry.reads.clear()
        before = served(world)
        yield world
        assert served(world) == before, "an attack changed what the node serves"
        assert registry.reads == [], "weights were fetched before the refusal"


def served(world: World) -> tuple[bytes, str]:
    active = load_state(world.cache).activation("tiny")
    (artifact,) = active.artifacts
    weights = world.cache.verify_artifact(artifact).file("weights")
    data = world.cache.blob_path(weights.sha256).read_bytes()
    return world.cache.state_path.read_bytes(), hashlib.sha256(data).hexdigest()


def test_what_is_signed_is_taken(world: World) -> None:
    world.registry.versions["tiny@production"] = world.registry.versions["tiny"]
    world.registry.versions["tiny:2"] = world.registry.versions["tiny"]
    for reference in ("tiny", "tiny@production", "tiny:2"):
        assert world.plan(reference).version.version == 2


# 1. arbitrary software


def test_an_artifact_that_nobody_signed_is_refused(
    world: World, artifacts: list[TinyArtifact]
) -> None:
    world.registry.add(build_version([artifacts[2].row()], number=3), [artifacts[2]])
    world.registry.versions["tiny:3"] = world.registry.versions["tiny"]
    with pytest.raises(UnsignedArtifact, match=r"tiny:3"):
        world.plan("tiny:3")


def test_an_unsigned_variant_among_signed_ones_is_refused(
    world: World, artifacts: list[TinyArtifact]
) -> None:
    version = world.registry.versions["tiny"]
    extra = replace(artifacts[2].row(), variant="int8")
    changed = replace(version, artifacts=(*version.artifacts, extra))
    world.registry.versions["tiny"] = changed
    with pytest.raises(UnsignedArtifact, match="int8"):
        world.plan()


# 2. rollback


def test_an_older_state_of_the_repository_is_refused(world: World) -> None:
    old = dict(world.updates.files)
    world.updates.publish()
    world.plan()
    world.updates.files = old
    with pytest.raises(RolledBack):
        world.plan()


def test_an_older_state_is_refused_even_where_the_node_has_lost_its_store(world: World) -> None:
    old = dict(world.updates.files)
    world.updates.now += timedelta(hours=1)
    world.updates.publish()
    world.plan()
    for path in (world.cache.home / "trust" / "metadata").glob("*.json"):
        path.unlink()
    world.updates.files = old
    with pytest.raises(RolledBack, match="signed before"):
        world.plan()


def test_an_alias_that_goes_back_to_an_older_signed_version_is_refused(
    world: World, artifacts: list[TinyArtifact]
) -> None:
    world.registry.versions["tiny"] = build_version([artifacts[0].row()], number=1)
    with pytest.raises(RolledBack, match="version 2 was signed"):
        world.plan()


# 3. fast-forward


def test_a_version_beyond_all_reason_is_refused_and_the_node_can_go_on(world: World) -> None:
    honest = dict(world.updates.files)
    world.updates.timestamp.version = 1 << 40  # with the stolen key of the timestamp
    world.updates.publish_timestamp()
    with pytest.raises(FastForwarded):
        world.plan()
    world.updates.files = honest
    world.plan()


def test_a_node_that_was_forwarded_as_far_as_it_goes_recovers_by_a_new_key(world: World) -> None:
    known = world.updates.timestamp.version
    world.updates.timestamp.version = MAX_STEP
    world.updates.publish_timestamp()
    world.plan()
    world.updates.timestamp.version = known
    world.updates.publish_timestamp()
    with pytest.raises(RolledBack):
        world.plan()
    world.updates.rotate("timestamp")
    world.updates.publish_timestamp()
    assert world.plan().version.version == 2


# 4. freeze


def test_metadata_that_nobody_renews_is_refused_in_the_end(world: World) -> None:
    world.now += timedelta(days=29)
    world.plan()
    world.now += timedelta(days=2)
    with pytest.raises(ExpiredMetadata):
        world.plan()
    # What is known can still be explained.
    assert Trust(TrustFolder(world.cache.home)).recall().find("tiny/2/version.json") is not None


# 5. endless data


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_a_file_without_an_end_is_cut_off(world: World, role: str) -> None:
    if role == "root":
        world.updates.rotate("targets")
    world.updates.publish()
    world.updates.endless = role
    with pytest.raises(EndlessData, match=role):
        world.plan()


# 6. slow retrieval


def test_a_file_that_trickles_is_given_up(world: World) -> None:
    world.updates.publish()
    world.updates.slow = "targets"
    world.file_seconds = SLOW_SECONDS
    with TrustClient(world.trust_client.target, file_seconds=SLOW_SECONDS) as client:
        world.trust_client = client
        with pytest.raises(SlowRetrieval, match="targets"):
            world.plan()


# 7. mix-and-match


def test_files_that_were_never_signed_together_are_refused(world: World) -> None:
    world.plan()
    old = world.updates.files[world.updates.newest("targets")]
    world.updates.publish()
    # As long as the listed one, so that only its hash tells.
    data = world.updates.files[world.updates.newest("targets")]
    world.updates.files[world.updates.newest("targets")] = old.ljust(len(data))[: len(data)]
    with pytest.raises(MixedMetadata):
        world.plan()


# 8. wrong target


def test_another_signed_artifact_under_this_name_is_refused(
    world: World, artifacts: list[TinyArtifact]
) -> None:
    world.registry.versions["tiny"] = build_version([artifacts[0].row()], number=2)
    with pytest.raises(WrongTarget, match="exchanged"):
        world.plan()


def test_another_manifest_than_the_signed_one_is_refused(
    world: World, artifacts: list[TinyArtifact]
) -> None:
    world.registry.manifests[artifacts[1].id] = artifacts[0].manifest_bytes
    with pytest.raises(IntegrityError, match="another one"):
        world.plan()


def test_a_lie_about_accuracy_changes_nothing(world: World, artifacts: list[TinyArtifact]) -> None:
    lie = ArtifactEvaluation(artifacts[1].id, "lies", "0" * 64, {"top1_match": 1.0})
    version = world.registry.versions["tiny"]
    rows = tuple(replace(row, evaluation=lie) for row in version.artifacts)
    world.registry.versions["tiny"] = replace(version, artifacts=rows)
    assert world.plan().version.artifacts[0].evaluation == version.artifacts[0].evaluation


# 9. malicious mirror


def test_a_mirror_with_other_bytes_is_named_and_left_out(
    world: World, artifacts: list[TinyArtifact]
) -> None:
    plan = world.plan()
    bad = FakeRegistry()
    bad.add(build_version([artifacts[1].row()]), [artifacts[1]])
    bad.blobs = {digest: bytes(len(data)) for digest, data in bad.blobs.items()}
    named: list[BadMirror] = []
    with serve_registry(bad) as address, RegistryClient(address) as mirror:
        fetch_plan(
            world.client,
            world.cache,
            plan,
            readers=1,
            on_bytes=lambda count: None,
            mirrors=[mirror],
            on_bad_mirror=named.append,
        )
    (error,) = named
    assert address in error.message
    assert error.code == "BAD_MIRROR"
    world.cache.verify_artifact(artifacts[1].id)
    world.registry.reads.clear()


# 10. one stolen key of a threshold


def test_one_stolen_key_of_two_makes_no_root(world: World) -> None:
    stolen = world.updates.signers["root"][0]
    thief = CryptoSigner.generate_ed25519()
    world.updates.root.add_key(thief.public_key, "targets")
    world.updates.root.version += 1
    world.updates.put(world.updates.root, [stolen])
    with pytest.raises(TooFewSignatures, match="1 of the 2"):
        world.plan()


# A repository of somebody else, and clocks


def test_the_metadata_of_another_repository_is_refused(world: World) -> None:
    world.updates.files = dict(UpdateRepository(now=world.updates.now).files)
    with pytest.raises(ForeignMetadata):
        world.plan()


@pytest.mark.parametrize("years", [-10, 10])
def test_a_clock_ten_years_off_is_named(world: World, years: int) -> None:
    world.now += timedelta(days=365 * years)
    with pytest.raises(ClockWrong, match="Set the clock"):
        world.plan()


def test_a_signer_whose_clock_is_ten_years_ahead_is_named(world: World) -> None:
    world.updates.now += timedelta(days=3650)
    world.updates.publish_timestamp()
    with pytest.raises(ClockWrong, match="the signer"):
        world.plan()


def test_a_clock_set_back_does_not_make_old_metadata_fresh(world: World) -> None:
    frozen = dict(world.updates.files)
    # Newer metadata was seen once; then the attacker serves the old files and turns the clock back.
    world.updates.now += timedelta(days=40)
    world.now = world.updates.now
    for role in ("root", "targets", "snapshot", "timestamp"):
        getattr(world.updates, role).expires += timedelta(days=60)
    world.updates.publish_root()
    world.updates.publish()
    world.plan()
    world.updates.files = frozen
    world.now -= timedelta(hours=20)  # within what honest clocks differ
    with pytest.raises((RolledBack, ExpiredMetadata)):
        world.plan()


def test_grace_and_a_waiver_let_expired_metadata_through(world: World) -> None:
    folder = TrustFolder(world.cache.home)
    world.now += timedelta(days=35)
    folder.save_policy(folder.policy().with_grace(4))
    with pytest.raises(ExpiredMetadata):
        world.plan()
    folder.save_policy(folder.policy().with_grace(6))
    world.plan()
    folder.save_policy(folder.policy().with_grace(0).waive(world.now, days=2, reason="x", by="y"))
    world.plan()
    world.now += timedelta(days=3)
    with pytest.raises(ExpiredMetadata):
        world.plan()


def test_a_waiver_forgives_expiry_only(world: World) -> None:
    folder = TrustFolder(world.cache.home)
    folder.save_policy(folder.policy().waive(world.now, days=2, reason="x", by="y"))
    world.updates.files[MetadataName("timestamp")] = UpdateRepository().files[
        MetadataName("timestamp")
    ]
    with pytest.raises(ForeignMetadata):
        world.plan()
