"""The commands on PostgreSQL and S3, by the options before their names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from postgres_server import PostgresServer, find_binaries
from programs import Programs
from s3_server import new_bucket, run_s3
from tiny_registry import store_version

from rsq_server.app import open_stores
from rsq_server.config import ServerConfig


@dataclass
class Scale:
    database: str
    blobs: str
    folder: Path

    def programs(self, name: str) -> Programs:
        """A server's machine: its own data folder, the shared database and bucket."""
        programs = Programs(self.folder / name)
        programs.environment |= {"RSQ_DATABASE": self.database, "RSQ_BLOBS": self.blobs}
        return programs


@pytest.fixture
def scale(tmp_path: Path) -> Iterator[Scale]:
    binaries = find_binaries()
    if binaries is None:
        message = "PostgreSQL's server programs are not on this machine."
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    server = PostgresServer(binaries)
    with run_s3() as address:
        new_bucket(address, "rsq")
        yield Scale(server.new_database(), "s3://rsq/models", tmp_path)
    server.stop()


def test_a_node_pulls_through_one_server_what_another_stored(scale: Scale) -> None:
    config = ServerConfig(scale.folder / "x", scale.database, scale.blobs)
    with open_stores(config) as stores:
        store_version(stores, scale.folder / "files", alias="production")
    first, second = scale.programs("first"), scale.programs("second")
    listed = first.run(
        "rsq-server", "--database", scale.database, "--blobs", scale.blobs, "models", "--json"
    ).json()["models"]
    assert [(row["name"], row["versions"]) for row in listed] == [("tiny", 1)]
    with second.serve_registry():
        pulled = second.pull("tiny", "--tower", "text", "--json").json()
    assert pulled["bytes_fetched"] > 0
    assert not (first.home / "server" / "registry.db").exists()
    assert not (second.home / "server" / "blobs").exists()
    assert "right as stored" in first.run("rsq-server", "verify").out


def test_what_is_not_there_is_named(scale: Scale) -> None:
    programs = scale.programs("one")
    url = "postgresql+psycopg://rsq:secret@127.0.0.1:9/x"  # pragma: allowlist secret
    gone = programs.run("rsq-server", "--database", url, "models", check=False)
    assert gone.code == 13
    assert "registry database can't be used" in gone.err
    assert "secret" not in gone.err
    bad = programs.run("rsq-server", "--blobs", "s4://x", "models", check=False)
    assert bad.code == 2
    assert "s3://" in bad.err
