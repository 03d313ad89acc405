"""The client workflow of The Update Framework, chapter by chapter, over a real gRPC server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner, Signature
from tuf.api.metadata import Metadata, TargetFile
from update_repository import SERIALIZER, UpdateRepository, serve_updates

from rsq.errors import (
    EndlessData,
    ExpiredMetadata,
    ForeignMetadata,
    MixedMetadata,
    RolledBack,
    TooFewSignatures,
    UnsignedArtifact,
    Untrusted,
)
from rsq.rpc.trust import TrustClient
from rsq.updates.metadata_files import MAX_ROOT_BYTES, MAX_TIMESTAMP_BYTES
from rsq.updates.names import MetadataName
from rsq.updates.refresh import Refreshed, read_seen, refresh

Refresh = Callable[..., Refreshed]


@pytest.fixture
def repository() -> UpdateRepository:
    return UpdateRepository()


@pytest.fixture
def run(repository: UpdateRepository, tmp_path: Path) -> Iterator[Refresh]:
    first = repository.first_root()
    with serve_updates(repository) as address, TrustClient(address) as client:

        def run(*, root: bytes = first, at: datetime | None = None) -> Refreshed:
            return refresh(tmp_path / "node", client, root=root, at=at or repository.now)

        yield run


def versions(tmp_path: Path) -> dict[str, int]:
    return read_seen(tmp_path / "node").versions


# 5.2 and 5.3: root


def test_a_first_refresh_verifies_all_four_roles(
    run: Refresh, repository: UpdateRepository
) -> None:
    refreshed = run()
    assert refreshed.seen.versions == {"root": 1, "timestamp": 2, "snapshot": 2, "targets": 2}
    assert refreshed.seen.signed_at == repository.now
    assert repository.asked == [
        "2.root.json",
        "timestamp.json",
        "2.snapshot.json",
        "2.targets.json",
    ]


def test_roots_are_followed_one_by_one_through_rotations(
    run: Refresh, repository: UpdateRepository, tmp_path: Path
) -> None:
    repository.rotate("root")
    repository.rotate("root")
    repository.rotate("timestamp")
    repository.publish_timestamp()
    run()
    assert versions(tmp_path)["root"] == 4
    assert repository.asked[:4] == ["2.root.json", "3.root.json", "4.root.json", "5.root.json"]


def test_a_root_that_only_some_of_the_old_keys_signed_is_refused(
    run: Refresh, repository: UpdateRepository, tmp_path: Path
) -> None:
    repository.root.version += 1
    repository.put(repository.root, repository.signers["root"][:1])
    with pytest.raises(TooFewSignatures, match="1 of the 2"):
        run()
    assert versions(tmp_path)["root"] == 1


def test_a_root_must_be_signed_by_its_own_keys_too(
    run: Refresh, repository: UpdateRepository
) -> None:
    old = list(repository.signers["root"])
    repository.add_key("root")
    repository.root.roles["root"].threshold = 3
    repository.root.version += 1
    repository.put(repository.root, old)
    with pytest.raises(TooFewSignatures, match="its own keys"):
        run()


def test_a_root_of_strangers_is_refused(run: Refresh, repository: UpdateRepository) -> None:
    repository.root.version += 1
    repository.put(repository.root, [CryptoSigner.generate_ed25519()])
    with pytest.raises(ForeignMetadata):
        run()


def test_a_threshold_counts_keys_not_signatures(run: Refresh, repository: UpdateRepository) -> None:
    repository.root.version += 1
    data = repository.put(repository.root, repository.signers["root"][:1])
    metadata: Metadata[Any] = Metadata.from_bytes(data)
    (signature,) = metadata.signatures.values()
    metadata.signatures["0" * 64] = Signature("0" * 64, signature.signature)
    repository.files[repository.newest("root")] = metadata.to_bytes(SERIALIZER)
    with pytest.raises(TooFewSignatures):
        run()


@pytest.mark.parametrize("step", [-1, 1])
def test_a_root_of_another_version_than_the_next_is_refused(
    run: Refresh, repository: UpdateRepository, step: int, tmp_path: Path
) -> None:
    repository.rotate("targets")
    repository.publish()
    asked = MetadataName("root", 2)
    repository.root.version = 2 + step
    repository.files[asked] = repository.put(repository.root, repository.signers["root"])
    with pytest.raises(MixedMetadata):
        run()
    assert versions(tmp_path)["root"] == 1


def test_an_expired_last_root_is_refused_but_one_on_the_way_is_not(
    run: Refresh, repository: UpdateRepository
) -> None:
    later = repository.root.expires
    repository.root.expires = repository.now - timedelta(days=1)
    repository.publish_root()
    repository.root.expires = later
    repository.publish_root()
    run()
    repository.root.expires = repository.now - timedelta(days=1)
    repository.publish_root()
    with pytest.raises(ExpiredMetadata):
        run()


def test_the_pinned_root_is_where_every_start_begins(
    run: Refresh, repository: UpdateRepository
) -> None:
    with pytest.raises(ForeignMetadata):
        run(root=UpdateRepository().first_root())
    with pytest.raises(ForeignMetadata, match="no root"):
        run(root=b"{}")
    with pytest.raises(ForeignMetadata, match="another role"):
        run(root=repository.files[repository.newest("targets")])


# 5.4: timestamp


def test_a_timestamp_that_nobody_trusted_signed_is_refused(
    run: Refresh, repository: UpdateRepository
) -> None:
    repository.signers["timestamp"] = [CryptoSigner.generate_ed25519()]
    repository.publish_timestamp()
    with pytest.raises(ForeignMetadata):
        run()


def test_an_older_timestamp_is_refused_and_the_same_one_changes_nothing(
    run: Refresh, repository: UpdateRepository, tmp_path: Path
) -> None:
    old = repository.files[MetadataName("timestamp")]
    repository.publish_timestamp()
    run()
    run()
    repository.files[MetadataName("timestamp")] = old
    with pytest.raises(RolledBack):
        run()
    assert versions(tmp_path)["timestamp"] == 3


def test_a_newer_timestamp_with_an_older_snapshot_is_refused(
    run: Refresh, repository: UpdateRepository
) -> None:
    run()
    assert repository.timestamp.snapshot_meta is not None
    repository.timestamp.snapshot_meta.version -= 1
    repository.publish_timestamp()
    with pytest.raises(RolledBack):
        run()


def test_an_expired_timestamp_is_refused_and_named_with_the_remedy(
    run: Refresh, repository: UpdateRepository
) -> None:
    with pytest.raises(ExpiredMetadata, match="rsq-server trust refresh"):
        run(at=repository.now + timedelta(days=31))


def test_expiry_is_to_the_second(run: Refresh, repository: UpdateRepository) -> None:
    run(at=repository.timestamp.expires - timedelta(seconds=1))
    with pytest.raises(ExpiredMetadata):
        run(at=repository.timestamp.expires)


# 5.5: snapshot


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_a_file_whose_hash_is_not_the_listed_one_is_refused(
    run: Refresh, repository: UpdateRepository, role: str
) -> None:
    name = repository.newest(role)
    repository.files[name] = repository.files[name] + b" "
    with pytest.raises((MixedMetadata, EndlessData)):
        run()


def test_a_snapshot_must_have_the_version_that_the_timestamp_lists(
    run: Refresh, repository: UpdateRepository
) -> None:
    assert repository.timestamp.snapshot_meta is not None
    repository.timestamp.snapshot_meta.hashes = None
    repository.timestamp.snapshot_meta.length = None
    repository.timestamp.snapshot_meta.version += 1
    repository.publish_timestamp()
    data = repository.files[repository.newest("snapshot")]
    repository.files[MetadataName("snapshot", repository.snapshot.version + 1)] = data
    with pytest.raises(MixedMetadata):
        run()


def test_a_snapshot_may_not_go_back_behind_what_it_listed(
    run: Refresh, repository: UpdateRepository
) -> None:
    repository.publish()
    run()
    repository.snapshot.meta["targets.json"].version -= 1
    repository.publish_snapshot()
    with pytest.raises(RolledBack):
        run()


def test_a_snapshot_may_not_leave_out_what_it_listed(
    run: Refresh, repository: UpdateRepository
) -> None:
    repository.delegate("team", ["team/*"])
    repository.publish()
    run()
    del repository.snapshot.meta["team.json"]
    repository.publish_snapshot()
    with pytest.raises(MixedMetadata, match="leaves out"):
        run()


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_expired_snapshots_and_targets_are_refused(
    run: Refresh, repository: UpdateRepository, role: str
) -> None:
    getattr(repository, role).expires = repository.now - timedelta(days=1)
    repository.publish()
    with pytest.raises(ExpiredMetadata, match=role):
        run()


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_snapshots_and_targets_of_strangers_are_refused(
    run: Refresh, repository: UpdateRepository, role: str
) -> None:
    repository.signers[role] = [CryptoSigner.generate_ed25519()]
    repository.publish()
    with pytest.raises(ForeignMetadata, match=role):
        run()


# 5.6: targets and delegation


def test_a_target_is_found_and_one_that_is_not_signed_is_not(
    run: Refresh, repository: UpdateRepository
) -> None:
    repository.targets.targets["m/1/x.json"] = TargetFile(3, {"sha256": "0" * 64}, "m/1/x.json")
    repository.publish()
    refreshed = run()
    found = refreshed.find("m/1/x.json")
    assert found is not None
    assert found.hashes == {"sha256": "0" * 64}
    assert refreshed.find("m/2/x.json") is None


def test_a_delegated_role_answers_for_its_paths_only(
    run: Refresh, repository: UpdateRepository
) -> None:
    team = repository.delegate("team", ["team/*"])
    for path in ("team/x", "other/x"):
        team.targets[path] = TargetFile(3, {"sha256": "0" * 64}, path)
    repository.publish()
    refreshed = run()
    assert refreshed.find("team/x") is not None
    assert refreshed.find("other/x") is None


def test_a_terminating_delegation_ends_the_search(
    run: Refresh, repository: UpdateRepository
) -> None:
    repository.delegate("first", ["team/*"])
    second = repository.delegate("second", ["team/*"])
    second.targets["team/x"] = TargetFile(3, {"sha256": "0" * 64}, "team/x")
    repository.publish()
    assert run().find("team/x") is None


def test_a_delegated_role_of_strangers_is_refused(
    run: Refresh, repository: UpdateRepository
) -> None:
    repository.delegate("team", ["team/*"])
    repository.signers["team"] = [CryptoSigner.generate_ed25519()]
    repository.publish()
    refreshed = run()
    with pytest.raises(ForeignMetadata):
        refreshed.find("team/x")


# Lengths, and what is no metadata at all


@pytest.mark.parametrize(
    ("role", "limit"), [("root", MAX_ROOT_BYTES), ("timestamp", MAX_TIMESTAMP_BYTES)]
)
def test_a_file_over_its_limit_is_refused_at_the_limit(
    run: Refresh, repository: UpdateRepository, role: str, limit: int
) -> None:
    if role == "root":
        repository.rotate("targets")
        repository.publish()
    name = repository.newest(role)
    repository.files[name] = repository.files[name] + b" " * limit
    with pytest.raises(EndlessData):
        run()


def test_lengths_that_are_listed_are_the_limit(run: Refresh, repository: UpdateRepository) -> None:
    repository.files[repository.newest("targets")] += b" "
    with pytest.raises(EndlessData):
        run()


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b'{"signed": 3, "signatures": []}'])
def test_what_is_no_metadata_is_named_so(
    run: Refresh, repository: UpdateRepository, data: bytes
) -> None:
    repository.files[MetadataName("timestamp")] = data
    with pytest.raises(Untrusted):
        run()


def test_a_server_without_signed_metadata_is_named_so(
    run: Refresh, repository: UpdateRepository
) -> None:
    repository.files.clear()
    with pytest.raises(UnsignedArtifact, match="rsq-server trust sign"):
        run()


def test_a_damaged_store_on_the_node_heals_by_itself(
    run: Refresh, repository: UpdateRepository, tmp_path: Path
) -> None:
    run()
    for role in ("timestamp", "snapshot", "targets"):
        (tmp_path / "node" / f"{role}.json").write_bytes(b"")
    (tmp_path / "node" / "root.json").unlink()
    run()
    assert versions(tmp_path) == {"root": 1, "timestamp": 2, "snapshot": 2, "targets": 2}
