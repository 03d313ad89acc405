"""Snapshots of collections out of an agent and into it again, over real gRPC."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient
from tiny_artifacts import SPACE_ID

from rsq.care_client import CareClient
from rsq.client import Client
from rsq.errors import BadInput, EnvironmentFault, IntegrityError, NotFound
from rsq.retrieval import BoundingBox, Payload, StoredRecord
from rsq.v1 import retrieval_pb2 as pb
from rsq_agent.app import Agent
from rsq_agent.collections.cluster_store import ClusterStore
from rsq_agent.config import AgentConfig
from rsq_agent.rpc.collections_snapshots import CollectionsSnapshots

DIMENSION = 16
COUNT = 600


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """An agent without a model and with the collection `scenes`, of which a third was deleted."""
    home = tmp_path_factory.mktemp("agent")
    config = AgentConfig(home=home, threads=1, listen="127.0.0.1:0", reports=False)
    with Agent(config) as agent, Client(agent.address) as client:
        rows = np.random.default_rng(1).normal(size=(COUNT, DIMENSION)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        payload = Payload(bbox=BoundingBox(10, 50, 11, 51), tags=("port",))
        records = [StoredRecord(f"/{n}.png", payload, "a" * 64, row) for n, row in enumerate(rows)]
        outcomes = client.import_records(
            records, space_id=SPACE_ID, dimension=DIMENSION, collection="scenes"
        )
        assert all(outcome.error is None for outcome in outcomes)
        client.delete([f"/{n}.png" for n in range(0, COUNT, 3)], collection="scenes")
        yield agent


@pytest.fixture
def snapshot(agent: Agent, tmp_path: Path) -> Path:
    file = tmp_path / "scenes.tar"
    with CareClient(agent.address) as care:
        assert care.save_snapshot("scenes", file) == file.stat().st_size
    return file


def stored(agent: Agent, collection: str) -> dict[str, StoredRecord]:
    with Client(agent.address) as client:
        return {record.uri: record for record in client.export(collection).records}


def names(agent: Agent) -> list[str]:
    with Client(agent.address) as client:
        return sorted(row.name for row in client.collections())


def restore(agent: Agent, file: Path, name: str) -> None:
    with CareClient(agent.address) as care:
        care.restore_snapshot(file, name)


def test_a_restored_collection_holds_the_same_and_takes_more(agent: Agent, snapshot: Path) -> None:
    with CareClient(agent.address) as care, Client(agent.address) as client:
        info = care.restore_snapshot(snapshot, "copy")
        assert (info.name, info.points, info.space_id) == ("copy", COUNT * 2 // 3, SPACE_ID)
        before, after = stored(agent, "scenes"), stored(agent, "copy")
        assert before.keys() == after.keys()
        for uri, record in before.items():
            assert after[uri].payload == record.payload
            assert (after[uri].vector == record.vector).all()
        client.delete(["/1.png"], collection="copy")
        assert "/1.png" in stored(agent, "scenes")
        assert "/1.png" not in stored(agent, "copy")


def test_a_snapshot_is_small_and_any_tar_lists_it(snapshot: Path) -> None:
    with tarfile.open(snapshot) as archive:
        assert archive.getnames()[:2] == ["rsq-snapshot.json", "rsq-snapshot.sha256"]
    assert snapshot.stat().st_size < 8 << 20  # Qdrant Edge's files have far more, of holes


def test_a_name_that_is_taken_or_none_is_refused(agent: Agent, snapshot: Path) -> None:
    for name, message in (("", "already"), ("scenes", "already"), ("../up", "not a collection")):
        with pytest.raises(BadInput, match=message):
            restore(agent, snapshot, name)
    with CareClient(agent.address) as care, pytest.raises(NotFound):
        care.save_snapshot("nope", snapshot)


def test_damage_anywhere_is_found_and_leaves_nothing(
    agent: Agent, snapshot: Path, tmp_path: Path
) -> None:
    data = snapshot.read_bytes()
    before = names(agent)
    places = np.random.default_rng(2).integers(0, len(data), 6).tolist()
    for place in [0, 600, *places, len(data) - 1]:
        damaged = tmp_path / "damaged.tar"
        damaged.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises((IntegrityError, BadInput)):
            restore(agent, damaged, "damaged")
    for text in (b"", b"x" * 2000, data[: len(data) // 2], data + b"more"):
        damaged.write_bytes(text)
        with pytest.raises((IntegrityError, BadInput)):
            restore(agent, damaged, "damaged")
    assert names(agent) == before
    assert not list(agent.cache.collections_folder.glob(".new-*"))


def test_a_file_that_is_not_there_is_named(agent: Agent, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"gone\.tar"):
        restore(agent, tmp_path / "gone.tar", "gone")


def test_the_commands_do_the_same(agent: Agent, tmp_path: Path) -> None:
    def run(*arguments: str) -> dict[str, object]:
        program = Path(sys.executable).with_name("rsq-agent")
        command = [program, "index", *arguments, "--agent", agent.address, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(done.stdout))

    file = tmp_path / "scenes.tar"
    assert run("snapshot", "scenes", str(file))["bytes"] == file.stat().st_size
    assert run("restore", str(file), "--as", "again")["points"] == COUNT * 2 // 3
    found = run("compact", "again")
    assert found["points"] == COUNT * 2 // 3
    assert stored(agent, "again").keys() == stored(agent, "scenes").keys()


def test_a_collection_of_a_cluster_says_where_to_go() -> None:
    snapshots = CollectionsSnapshots(ClusterStore(QdrantClient(":memory:")))
    with pytest.raises(EnvironmentFault, match="cluster"):
        snapshots.compact(pb.CompactRequest())
