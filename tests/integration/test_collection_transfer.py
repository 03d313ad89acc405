"""Whole collections out of an agent and into it again, over real gRPC."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet
from tiny_artifacts import SPACE_ID

from rsq.client import Client
from rsq.errors import BadInput, NotFound, SpaceMismatch
from rsq.retrieval import BoundingBox, CollectionExport, Payload, StoredRecord
from rsq_agent.app import Agent
from rsq_agent.config import AgentConfig
from rsq_agent.results.geoparquet_writer import write_geoparquet

DIMENSION = 16
COUNT = 1500


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """An agent without a model: vectors come and go without one."""
    home = tmp_path_factory.mktemp("agent")
    config = AgentConfig(home=home, threads=1, listen="127.0.0.1:0", reports=False)
    with Agent(config) as agent:
        yield agent


@pytest.fixture(scope="module")
def records(agent: Agent) -> list[StoredRecord]:
    """What the collection `scenes` of the agent holds."""
    rows = np.random.default_rng(1).normal(size=(COUNT, DIMENSION)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    payload = Payload(bbox=BoundingBox(179.5, -17, -179.5, -16), tags=("port",))
    records = [StoredRecord(f"/{n}.png", payload, "a" * 64, row) for n, row in enumerate(rows)]
    with Client(agent.address) as client:
        outcomes = list(
            client.import_records(
                records, space_id=SPACE_ID, dimension=DIMENSION, collection="scenes"
            )
        )
    assert [outcome.uri for outcome in outcomes] == [record.uri for record in records]
    assert all(outcome.error is None for outcome in outcomes)
    return records


def run(agent: Agent, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("rsq-agent")
    command = [program, *arguments, "--agent", agent.address]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_an_export_gives_every_record_once(agent: Agent, records: list[StoredRecord]) -> None:
    with Client(agent.address) as client:
        export = client.export("scenes")
        assert (export.space_id, export.dimension) == (SPACE_ID, DIMENSION)
        assert export.total == COUNT
        found = {record.uri: record for record in export.records}
    assert len(found) == COUNT
    for record in records:
        assert found[record.uri].payload == record.payload
        assert found[record.uri].vector == pytest.approx(record.vector, abs=1e-6)


def test_errors_reach_the_caller_as_they_are(agent: Agent, records: list[StoredRecord]) -> None:
    with Client(agent.address) as client:
        with pytest.raises(NotFound, match="nope"):
            client.export("nope")
        with pytest.raises(SpaceMismatch):
            list(
                client.import_records(
                    records[:5], space_id="6" * 64, dimension=DIMENSION, collection="scenes"
                )
            )


def test_a_source_that_breaks_off_says_so_itself_after_what_came_before(
    agent: Agent, records: list[StoredRecord]
) -> None:
    def damaged() -> Iterator[StoredRecord]:
        yield replace(records[0], uri="/one.png")
        raise BadInput("The file is damaged.")

    with Client(agent.address) as client:
        outcomes = client.import_records(
            damaged(), space_id=SPACE_ID, dimension=DIMENSION, collection="scenes"
        )
        assert next(outcomes).uri == "/one.png"
        with pytest.raises(BadInput, match="damaged"):
            next(outcomes)
        assert client.delete(["/one.png"], collection="scenes") == 1


def test_the_commands_write_a_file_and_read_it(
    agent: Agent, records: list[StoredRecord], tmp_path: Path
) -> None:
    file = tmp_path / "scenes.parquet"
    done = run(agent, "index", "export", "scenes", "-o", str(file), "--json")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["records"] == COUNT
    assert parquet.read_metadata(file).num_rows == COUNT
    done = run(agent, "index", "import", str(file), "--json")
    assert json.loads(done.stdout) == {"collection": "scenes", "added": COUNT, "skipped": []}
    with Client(agent.address) as client:
        assert client.export("scenes").total == COUNT


def test_a_file_of_bad_vectors_is_an_error_and_one_bad_row_is_named(
    agent: Agent, records: list[StoredRecord], tmp_path: Path
) -> None:
    file = tmp_path / "scenes.parquet"
    bad = replace(records[1], vector=np.full(DIMENSION, np.nan, np.float32))
    for rows, code, words in (([bad], 2, "finite"), ([records[0], bad], 0, "/1.png")):
        export = CollectionExport(SPACE_ID, DIMENSION, len(rows), iter(rows))
        write_geoparquet(file, export, collection="scenes")
        done = run(agent, "index", "import", str(file))
        assert done.returncode == code
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_collection_is_checked_against_exact_search(
    agent: Agent, records: list[StoredRecord]
) -> None:
    done = run(agent, "index", "check", "scenes", "--queries", "20", "--json")
    found = json.loads(done.stdout)
    assert (found["recall"], found["queries"], found["points"]) == (1.0, 20, COUNT)
    assert found["is_exact"]
    assert found["exact_p50_ms"] > 0
    refused = run(agent, "index", "check", "scenes", "-k", "1000")
    assert refused.returncode == 2
    assert "k of 1 to" in refused.stderr
    assert run(agent, "index", "check", "nope").returncode == 3
