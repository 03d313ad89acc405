"""A PostgreSQL server that goes away and comes back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import PostgresServer, find_binaries
from sqlalchemy import event
from unit.registry.samples import make_draft

from rsq.errors import BadInput, EnvironmentFault
from rsq_registry.blobs import BlobStore
from rsq_registry.catalogue import Catalogue
from rsq_registry.database import open_database


@pytest.fixture
def server(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """One of the test's own, since it is going to be killed. `postgres` skips where there is no
    PostgreSQL."""
    binaries = find_binaries()
    assert binaries is not None
    server = PostgresServer(binaries)
    yield server
    server.stop()


def test_a_database_that_goes_away_in_mid_commit_leaves_no_half_version(
    server: PostgresServer, tmp_path: Path
) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    engine = open_database(server.new_database())
    catalogue = Catalogue(engine, blobs)
    first = catalogue.add_version(make_draft(blobs, content="1"))

    @event.listens_for(engine, "commit", once=True)
    def _(connection: object) -> None:
        server.kill()

    with pytest.raises(EnvironmentFault, match="database can't be used") as failure:
        catalogue.add_version(make_draft(blobs, content="2"))
    assert "Traceback" not in failure.value.message
    with pytest.raises(EnvironmentFault):
        catalogue.models()
    server.start()
    assert catalogue.models()[0].versions == 1
    assert catalogue.version("demo", 1) == first
    assert catalogue.add_version(make_draft(blobs, content="2")).version == 2
    engine.dispose()


def test_a_server_that_is_not_there_is_said_so_without_the_password(tmp_path: Path) -> None:
    url = "postgresql+psycopg://rsq:secret@/registry"  # pragma: allowlist secret
    with pytest.raises(EnvironmentFault) as failure:
        open_database(f"{url}?host={tmp_path}")
    assert "secret" not in failure.value.message


def test_a_url_without_a_driver_names_the_extra() -> None:
    with pytest.raises(EnvironmentFault, match=r"rsq-server\[postgresql\]"):
        open_database("postgresql+nodriver://localhost/registry")


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(EnvironmentFault, match=r"rsq-server\[postgresql\]"):
        open_database("postgresql+psycopg://localhost/registry")


@pytest.mark.parametrize("rest", ["se@cret@localhost:9/x", "secret@localhost:port/x"])
def test_a_malformed_url_is_refused_without_its_password(rest: str) -> None:
    with pytest.raises(BadInput, match="malformed") as failure:
        open_database(f"postgresql+psycopg://rsq:{rest}")
    assert "cret" not in failure.value.message
    assert failure.value.__cause__ is None


def test_missing_rights_are_the_environments_fault_in_one_line(postgres: PostgresServer) -> None:
    location = postgres.new_database()
    engine = open_database(location)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS guest")
        connection.exec_driver_sql("CREATE ROLE guest LOGIN")
    engine.dispose()
    with pytest.raises(EnvironmentFault, match="permission denied") as failure:
        open_database(location.replace("rsq@", "guest@"))
    assert "\n" not in failure.value.message


def test_a_database_that_may_only_be_read_is_the_environments_fault(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    location = postgres.new_database()
    open_database(location).dispose()
    reading = open_database(f"{location}&options=-c%20default_transaction_read_only%3Don")
    catalogue = Catalogue(reading, BlobStore(tmp_path / "blobs"))
    with pytest.raises(EnvironmentFault, match="read-only transaction"):
        catalogue.lease(["a" * 64], seconds=1)
    reading.dispose()
