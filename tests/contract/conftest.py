"""The stores that contract suites run over: SQLite and PostgreSQL, a local folder and S3."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import PostgresServer, find_binaries
from s3_server import new_bucket, run_s3
from sqlalchemy import Engine

from rsq_registry.blobs import Blobs, BlobStore
from rsq_registry.database import open_database
from rsq_registry.object_blobs import ObjectBlobs


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    binaries = find_binaries()
    if binaries is None:
        message = (
            "PostgreSQL's server programs are not on this machine (apt-get install postgresql)."
        )
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    server = PostgresServer(binaries)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    with run_s3() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The location of an empty database."""
    if request.param == "sqlite":
        return str(tmp_path / "registry.db")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = open_database(database)
    yield engine
    engine.dispose()


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


@pytest.fixture(params=["local", "s3"])
def any_blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "local":
        return BlobStore(tmp_path / "deep" / "blobs")
    address: str = request.getfixturevalue("s3")
    bucket = f"bucket-{abs(hash(str(tmp_path)))}"
    new_bucket(address, bucket)
    return ObjectBlobs(f"s3://{bucket}/some/prefix")
