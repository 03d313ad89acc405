from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from update_repository import UpdateRepository

from rsq.errors import BadInput, EnvironmentFault, ForeignMetadata, NotFound
from rsq.updates.metadata_files import MAX_ROOT_BYTES
from rsq_agent.trust.folder import TrustFolder, read_root_file
from rsq_agent.trust.policy import Policy

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> TrustFolder:
    return TrustFolder(tmp_path)


def test_a_root_is_pinned_once_and_another_only_on_demand(folder: TrustFolder) -> None:
    first, other = UpdateRepository().first_root(), UpdateRepository().first_root()
    with pytest.raises(NotFound, match="trust pin"):
        folder.root()
    folder.pin(first)
    folder.pin(first)
    with pytest.raises(BadInput, match="--replace"):
        folder.pin(other)
    assert folder.root() == first
    folder.raise_floor(NOW)
    folder.pin(other, replace=True)
    assert folder.root() == other
    assert folder.floor() is None


def test_what_is_no_root_is_not_pinned(folder: TrustFolder) -> None:
    for data in (b"", b"{}", UpdateRepository().first_root()[:-40]):
        with pytest.raises(ForeignMetadata):
            folder.pin(data)
    assert not folder.is_pinned


def test_the_policy_and_its_waivers_are_kept(folder: TrustFolder) -> None:
    assert folder.policy() == Policy()
    policy = Policy(False, 7).waive(NOW, days=2, reason="x", by="y")
    folder.save_policy(policy)
    assert folder.policy() == policy


def test_the_floor_only_rises(folder: TrustFolder) -> None:
    folder.raise_floor(NOW)
    folder.raise_floor(NOW - timedelta(days=1))
    assert folder.floor() == NOW


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"schema": 2}', b'{"schema": 1}'])
def test_a_damaged_file_is_never_taken_for_a_lax_policy(folder: TrustFolder, data: bytes) -> None:
    folder.folder.mkdir()
    for name in ("policy.json", "floor.json"):
        (folder.folder / name).write_bytes(data)
    with pytest.raises(EnvironmentFault, match="policy"):
        folder.policy()
    with pytest.raises(EnvironmentFault, match="floor"):
        folder.floor()


def test_a_root_file_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "root.json"
    path.write_bytes(bytes(MAX_ROOT_BYTES + 1))
    with pytest.raises(BadInput, match=str(MAX_ROOT_BYTES)):
        read_root_file(path)
