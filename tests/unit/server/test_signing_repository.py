from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner

from rsq.errors import BadInput, ExpiredMetadata, ForeignMetadata, NotFound, RsqError
from rsq.updates.metadata_files import MetadataFolder, collect
from rsq.updates.names import TOP_LEVEL, MetadataName
from rsq.updates.refresh import refresh
from rsq.updates.signed_version import SignedFile
from rsq_server.signing.key_changes import describe, revoke_key, rotate_key
from rsq_server.signing.repository import Repository, put_targets, remove_targets

TARGET = SignedFile("m/1/version.json", "0" * 64, 3, {"record": "{}"})


@dataclass
class Place:
    repository: Repository
    node: Path
    keys: dict[str, list[CryptoSigner]]
    now: list[datetime] = field(default_factory=list)

    def signers(self, *roles: str, count: int = 9) -> dict[str, CryptoSigner]:
        return {
            key.public_key.keyid: key
            for role in roles or TOP_LEVEL
            for key in self.keys[role][:count]
        }

    def paths(self) -> set[str]:
        """What a node that follows the repository knows to be signed."""
        files = self.repository.files
        refreshed = refresh(
            self.node, files, root=files.read(MetadataName("root", 1)), at=self.now[0]
        )
        return {path for path in ("m/1/version.json", "m/2/x.json") if refreshed.find(path)}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    now = [datetime.now(UTC)]
    counts = {"root": 2, "targets": 2, "snapshot": 1, "timestamp": 1}
    keys = {
        role: [CryptoSigner.generate_ed25519() for _ in range(count)]
        for role, count in counts.items()
    }
    repository = Repository(tmp_path / "trust", now=lambda: now[0])
    place = Place(repository, tmp_path / "node", keys, now)
    by_role = {role: place.signers(role) for role in TOP_LEVEL}
    repository.initialize(by_role, counts)
    return place


def test_a_change_reaches_nodes_once_enough_keys_have_signed(place: Place) -> None:
    online = place.signers("snapshot", "timestamp")
    one = {**online, **place.signers("targets", count=1)}
    change = place.repository.change_targets(put_targets([TARGET]), one)
    assert change.missing == {"targets": 1}
    assert place.paths() == set()
    assert place.repository.add_signatures(place.signers()).missing == {}
    assert place.paths() == {"m/1/version.json"}
    with pytest.raises(NotFound):
        place.repository.add_signatures(place.signers())


def test_changes_that_wait_add_up(place: Place) -> None:
    one = place.signers("targets", count=1)
    place.repository.change_targets(put_targets([TARGET]), one)
    other = SignedFile("m/2/x.json", "1" * 64, 3, {})
    place.repository.change_targets(put_targets([other]), place.signers())
    assert place.paths() == {"m/1/version.json", "m/2/x.json"}


def test_withdrawn_targets_are_gone(place: Place) -> None:
    place.repository.change_targets(put_targets([TARGET]), place.signers())
    place.repository.change_targets(remove_targets("m/1/"), place.signers())
    assert place.paths() == set()


def test_without_the_keys_of_snapshot_and_timestamp_nothing_changes(place: Place) -> None:
    before = collect(place.repository.files)
    with pytest.raises(BadInput, match="snapshot"):
        place.repository.change_targets(put_targets([TARGET]), place.signers("targets"))
    assert collect(place.repository.files) == before


def test_a_refresh_renews_the_timestamp_and_the_snapshot_only_when_it_must(place: Place) -> None:
    place.repository.renew(place.signers("timestamp"), days=7)
    assert place.repository.current("snapshot").signed.version == 1
    place.now[0] += timedelta(days=85)
    with pytest.raises(BadInput, match="snapshot"):
        place.repository.renew(place.signers("timestamp"), days=7)
    place.repository.renew(place.signers("timestamp", "snapshot"), days=7)
    assert place.repository.current("snapshot").signed.version == 2
    assert place.paths() == set()


def test_a_new_key_for_targets_signs_them_anew(place: Place) -> None:
    place.repository.change_targets(put_targets([TARGET]), place.signers())
    new = CryptoSigner.generate_ed25519()
    root = place.repository.current("root").signed
    old = place.keys["targets"][0].public_key.keyid
    replace = rotate_key(root, "targets", old)
    place.keys["targets"].append(new)
    place.repository.change_root(lambda root: replace(root, new.public_key), place.signers())
    assert place.paths() == {"m/1/version.json"}
    signatures = place.repository.current("targets").signatures
    assert set(signatures) == {key.public_key.keyid for key in place.keys["targets"][1:]}


def test_a_key_that_is_needed_is_not_revoked(place: Place) -> None:
    root = place.repository.current("root").signed
    with pytest.raises(BadInput, match="rotate"):
        revoke_key(root, "root", place.keys["root"][0].public_key.keyid)
    with pytest.raises(BadInput, match="beginning of its id"):
        rotate_key(root, "root", None)
    with pytest.raises(BadInput, match="not a role"):
        rotate_key(root, "mirrors", None)


def test_a_change_of_the_root_waits_for_the_old_keys_too(place: Place) -> None:
    new = CryptoSigner.generate_ed25519()
    root = place.repository.current("root").signed
    replace = rotate_key(root, "root", place.keys["root"][0].public_key.keyid)
    signers = {**place.signers("root", count=1), new.public_key.keyid: new}
    change = place.repository.change_root(lambda root: replace(root, new.public_key), signers)
    assert change.missing == {"root": 1}
    assert {row["role"]: row["missing"] for row in describe(place.repository)}["root"] == 1
    assert place.repository.add_signatures(place.signers()).missing == {}
    assert place.repository.current("root").signed.version == 2


def test_what_nodes_would_refuse_is_not_added(place: Place, tmp_path: Path) -> None:
    before = collect(place.repository.files)
    timestamp = MetadataName("timestamp")
    bad: list[tuple[MetadataName, bytes, type[RsqError]]] = [
        (timestamp, b"{}", RsqError),
        (MetadataName("root", 1), b"{}", BadInput),
        (MetadataName("root", 2), before[MetadataName("root", 1)], RsqError),
    ]
    for name, data, error in bad:
        with pytest.raises(error):
            place.repository.put({name: data})
    stranger = CryptoSigner.generate_ed25519()
    metadata = place.repository.current("timestamp")
    metadata.signed.version += 1
    metadata.sign(stranger)
    with pytest.raises(ForeignMetadata):
        place.repository.put({timestamp: metadata.to_bytes()})
    place.now[0] += timedelta(days=400)
    with pytest.raises(ExpiredMetadata):
        place.repository.put({})
    assert collect(place.repository.files) == before


def test_a_repository_is_made_once(place: Place) -> None:
    with pytest.raises(BadInput, match="already"):
        place.repository.initialize({}, {})
    with pytest.raises(NotFound, match="trust init"):
        Repository(place.node / "other").current("root")


def test_two_who_sign_at_once_do_not_lose_each_others_changes(place: Place) -> None:
    paths = [f"m/{number}/x.json" for number in range(1, 7)]

    def sign(path: str) -> None:
        twin = Repository(place.repository.files.folder.parent, now=lambda: place.now[0])
        twin.change_targets(put_targets([SignedFile(path, "1" * 64, 3, {})]), place.signers())

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(sign, paths))
    assert set(place.repository.current("targets").signed.targets) == set(paths)
    assert place.repository.current("timestamp").signed.version == 1 + len(paths)


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp"])
@pytest.mark.parametrize("complete", range(4))
def test_a_crash_between_any_two_files_is_repaired_by_the_next_change(
    place: Place, monkeypatch: pytest.MonkeyPatch, role: str, complete: int
) -> None:
    old = place.keys[role][0].public_key.keyid
    new = CryptoSigner.generate_ed25519()
    replace = rotate_key(place.repository.current("root").signed, role, old)
    place.keys[role].append(new)
    whole_write = MetadataFolder.write
    written: list[MetadataName] = []

    def write(folder: MetadataFolder, name: MetadataName, data: bytes) -> None:
        if len(written) == complete:
            raise ConnectionAbortedError
        written.append(name)
        whole_write(folder, name, data)

    with monkeypatch.context() as patched:
        patched.setattr(MetadataFolder, "write", write)
        with suppress(ConnectionAbortedError):
            place.repository.change_root(
                lambda root: replace(root, new.public_key), place.signers()
            )
    place.repository.change_targets(put_targets([TARGET]), place.signers())
    assert place.paths() == {"m/1/version.json"}
