"""Signed metadata over a real gRPC server, with the client that nodes and signers use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from update_repository import UpdateRepository

from rsq.errors import BadInput, ForeignMetadata, NotFound, RolledBack, Unreachable, Untrusted
from rsq.rpc.trust import TrustClient
from rsq.updates.metadata_files import MESSAGE_BYTES
from rsq.updates.names import MetadataName
from rsq.updates.refresh import refresh
from rsq_server.app import open_stores, run_server
from rsq_server.config import ServerConfig


@dataclass
class Place:
    client: TrustClient
    folder: Path
    signer: UpdateRepository

    def read(self, name: MetadataName) -> bytes:
        return b"".join(self.client.metadata(name))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    config = ServerConfig(tmp_path / "server", listen="127.0.0.1:0")
    with (
        open_stores(config) as stores,
        run_server(stores, config) as server,
        TrustClient(server.address) as client,
    ):
        yield Place(client, config.trust_folder, UpdateRepository())


def test_what_was_signed_elsewhere_is_added_and_read_back(place: Place, tmp_path: Path) -> None:
    place.client.add(place.signer.files)
    assert {name: place.read(name) for name in place.signer.files} == place.signer.files
    root = place.signer.first_root()
    refreshed = refresh(tmp_path / "node", place.client, root=root, at=datetime.now(UTC))
    assert refreshed.seen.versions["timestamp"] == 2


def test_a_long_file_comes_whole(place: Place) -> None:
    place.signer.targets.unrecognized_fields["note"] = "x" * (3 * MESSAGE_BYTES)
    place.signer.publish()
    place.client.add(place.signer.files)
    name = place.signer.newest("targets")
    assert place.read(name) == place.signer.files[name]


def test_without_a_root_there_is_nothing_to_add_to(place: Place) -> None:
    timestamp = MetadataName("timestamp")
    with pytest.raises(BadInput, match="first root"):
        place.client.add({timestamp: place.signer.files[timestamp]})


def test_what_is_not_there_and_what_is_no_name_are_refused(place: Place) -> None:
    with pytest.raises(NotFound):
        place.read(MetadataName("timestamp"))
    for name in (MetadataName("../registry"), MetadataName("a/b", 1), MetadataName("root", 0)):
        with pytest.raises(BadInput):
            place.read(name)
        with pytest.raises(BadInput):
            place.client.add({name: b"{}"})
    assert not place.folder.exists() or list(place.folder.glob("metadata/*")) == []


def test_nobody_adds_what_nodes_would_refuse(place: Place) -> None:
    place.client.add(place.signer.files)
    before = dict(place.signer.files)
    stranger = UpdateRepository()
    with pytest.raises(ForeignMetadata):
        place.client.add({MetadataName("timestamp"): stranger.files[MetadataName("timestamp")]})
    with pytest.raises(BadInput, match="reads otherwise"):
        place.client.add({MetadataName("root", 1): stranger.first_root()})
    with pytest.raises(Untrusted):
        place.client.add({MetadataName("root", 2): before[MetadataName("root", 1)]})
    assert {name: place.read(name) for name in before} == before


def test_a_server_takes_no_older_timestamp(place: Place) -> None:
    old = dict(place.signer.files)
    place.client.add(old)
    place.signer.publish()
    place.client.add(place.signer.files)
    with pytest.raises(RolledBack):
        place.client.add(old)
    with pytest.raises(Untrusted):
        place.client.add({MetadataName("timestamp"): old[MetadataName("timestamp")]})


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with TrustClient("127.0.0.1:1") as client, pytest.raises(Unreachable):
        list(client.metadata(MetadataName("timestamp")))
