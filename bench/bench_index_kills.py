"""An agent that is killed again and again while it indexes, builds a graph and migrates.

After each SIGKILL the agent starts on the same home and says what it has: every vector that was
acknowledged, once, with the right values, nothing that was deleted. A migration goes on by itself.
States how long opening takes, from the start of the process to the first answer about collections.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from base_towers import cpu_name
from numpy.typing import NDArray
from programs import COMMANDS, free_port

from rsq.care_client import CareClient
from rsq.client import Client
from rsq.encoder import Encoder
from rsq.errors import NotFound, RsqError
from rsq.retrieval import IndexItem, Payload, StoredRecord
from rsq.rpc.health import is_serving
from rsq_agent.cache import Cache
from rsq_agent.collections.shard import EXACT_POINTS
from rsq_agent.state import NodeState, save_state

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from tiny_artifacts import DIMENSION, SPACE_ID, TinyArtifact, build_artifact, encode_image  # noqa: E402
from tiny_node import stock  # noqa: E402

SEED = 20261124
NEW_SPACE_ID = "6" * 64
KINDS = ("indexing", "optimizing", "migrating")
START_SECONDS = 60.0
MIGRATION_SECONDS = 120.0
IMAGES = 1500  # of the collection that migrates
TOLERANCE = 1e-5  # vectors are stored as float32
MODEL, COLLECTION = "tiny", "default"


class Node:
    """An agent's home and the process that runs on it, if one does."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.images = folder / "images"
        self.images.mkdir(parents=True)
        self.artifacts = [
            [
                build_artifact(folder / f"{tower}{seed}", tower, seed=seed, space_id=space_id)
                for tower in ("vision", "text")
            ]
            for seed, space_id in ((1, SPACE_ID), (2, NEW_SPACE_ID))
        ]
        cache = Cache(self.home / "agent")
        state = NodeState()
        for number, towers in enumerate(self.artifacts, start=1):
            state = state.activate(stock(cache, towers, version=number))
        save_state(cache, state.roll_back(None))
        self.address = f"127.0.0.1:{free_port()}"
        self.open_seconds: list[float] = []
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        begun = time.perf_counter()
        self._process = subprocess.Popen(
            [
                COMMANDS / "rsq-agent", "serve", "--listen", self.address, "--threads", "1",
                "--root", self.images, "--log-level", "error",
            ],
            env={**os.environ, "RSQ_HOME": str(self.home)},
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        while not is_serving(self.address, "rsq.v1.Retrieval", timeout_seconds=1):
            if self._process.poll() is not None:
                raise RuntimeError(f"the agent ended with {self._process.returncode}")
            if time.perf_counter() - begun > START_SECONDS:
                raise RuntimeError("the agent did not start")
            time.sleep(0.02)
        with Client(self.address) as client:
            client.collections()
        self.open_seconds.append(time.perf_counter() - begun)

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process = None

    @contextmanager
    def killed_at_the_end(self) -> Iterator[None]:
        try:
            yield
        finally:
            if self._process is not None:
                self.kill()

    def stored(self) -> list[StoredRecord]:
        with Client(self.address) as client:
            try:
                return list(client.export(COLLECTION).records)
            except NotFound:
                return []

    def space_id(self) -> str:
        with Client(self.address) as client:
            return client.collections()[0].space_id


class Ledger:
    """What the agent has acknowledged, and what it may or may not have done since."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, NDArray[np.float32]] = {}
        # Of calls that were cut off: any of these is right too; None is a deletion.
        self.open: dict[str, list[NDArray[np.float32] | None]] = {}

    def begin(self, uri: str, vector: NDArray[np.float32] | None) -> None:
        self.open.setdefault(uri, []).append(vector)

    def acknowledge(self, uri: str) -> None:
        vector = self.open.pop(uri)[-1]
        if vector is None:
            self.acknowledged.pop(uri, None)
        else:
            self.acknowledged[uri] = vector

    def compare(self, records: list[StoredRecord]) -> dict[str, int]:
        """Counts what is wrong, then takes what is stored as the truth about calls cut off."""
        found: dict[str, NDArray[np.float32]] = {}
        faults = dict.fromkeys(("twice", "lost", "wrong", "came back"), 0)
        for record in records:
            faults["twice"] += record.uri in found
            found[record.uri] = record.vector
        for uri, vector in self.acknowledged.items():
            allowed = [vector, *self.open.get(uri, [])]
            if uri not in found:
                faults["lost"] += all(item is not None for item in allowed)
            elif not _is_any(found[uri], allowed):
                faults["wrong"] += 1
        for uri, vector in found.items():
            if uri not in self.acknowledged and not _is_any(vector, self.open.get(uri, [])):
                faults["came back"] += 1
        self.acknowledged = found
        self.open = {}
        return faults


def _is_any(vector: NDArray[np.float32], allowed: list[NDArray[np.float32] | None]) -> bool:
    return any(item is not None and np.abs(vector - item).max() < TOLERANCE for item in allowed)


class Pictures:
    """Images with their vectors by version 1 or 2 of the model, made in groups."""

    def __init__(self, artifacts: list[list[TinyArtifact]], chance: np.random.Generator) -> None:
        self._encoders = [Encoder(towers[0].folder, towers[0].manifest) for towers in artifacts]
        self._chance = chance

    def make(self, count: int) -> list[bytes]:
        colors = self._chance.integers(0, 256, (count, 3)).tolist()
        return [encode_image((red, green, blue)) for red, green, blue in colors]

    def embed(self, images: list[bytes], version: int = 1) -> NDArray[np.float32]:
        return self._encoders[version - 1].embed_images(images)


def kill_while_indexing(node: Node, kills: int, seed: int) -> dict[str, Any]:
    """Adds, replaces and deletes while the clock runs."""
    chance = random.Random(seed)
    pictures = Pictures(node.artifacts, np.random.default_rng(seed))
    ledger, number, acknowledged = Ledger(), 0, 0
    faults: list[dict[str, int]] = []
    node.start()
    for _ in range(kills):
        images = pictures.make(4000)
        vectors = pictures.embed(images)
        known = chance.sample(sorted(ledger.acknowledged), min(200, len(ledger.acknowledged)))
        uris = known[:100] + [f"/scenes/{number + i}" for i in range(len(images) - 100)]
        number += len(images)
        ends = time.monotonic() + chance.uniform(0.05, 1.5)

        def send(
            uris: list[str] = uris,
            images: list[bytes] = images,
            vectors: NDArray[np.float32] = vectors,
        ) -> Iterator[IndexItem]:
            for uri, image, vector in zip(uris, images, vectors, strict=False):
                ledger.begin(uri, vector)
                yield IndexItem(uri, image)

        with Client(node.address) as client:
            for uri in known[100:]:
                ledger.begin(uri, None)
            if known[100:]:
                client.delete(known[100:])
            for uri in known[100:]:
                ledger.acknowledge(uri)
            for outcome in client.index(send()):
                assert outcome.error is None
                ledger.acknowledge(outcome.uri)
                acknowledged += 1
                if time.monotonic() > ends:
                    break
            node.kill()
        node.start()
        faults.append(ledger.compare(node.stored()))
    node.kill()
    return {"acknowledged": acknowledged, "stored": len(ledger.acknowledged), **_sum(faults)}


def kill_while_optimizing(node: Node, kills: int, seed: int) -> dict[str, Any]:
    """Each time enough vectors arrive for a new graph, which is killed on its way."""
    chance = random.Random(seed)
    vectors = np.random.default_rng(seed)
    ledger, number, whole = Ledger(), 0, 4.0
    faults: list[dict[str, int]] = []
    built, count = 0, EXACT_POINTS + 500
    node.start()
    for _ in range(kills):
        rows = vectors.standard_normal((count, DIMENSION)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        records = [
            StoredRecord(f"/v/{number + i}", Payload(), node.artifacts[0][0].id, row)
            for i, row in enumerate(rows)
        ]
        number += count
        with Client(node.address) as client:
            for record in records:
                ledger.begin(record.uri, record.vector)
            outcomes = client.import_records(
                records, space_id=SPACE_ID, dimension=DIMENSION, collection=COLLECTION
            )
            for outcome in outcomes:
                assert outcome.error is None
                ledger.acknowledge(outcome.uri)
        shard = _shard(node)
        begun = time.perf_counter()
        limit = chance.uniform(0.0, 1.3) * whole
        while time.perf_counter() - begun < limit and _shard(node) == shard:
            time.sleep(0.01)
        # What was not finished is begun again with the next ones.
        count = 500
        if _shard(node) != shard:
            built += 1
            whole = max(0.5, time.perf_counter() - begun)
            count = EXACT_POINTS + 500
        node.kill()
        node.start()
        faults.append(ledger.compare(node.stored()))
    node.kill()
    return {"stored": len(ledger.acknowledged), "graphs_finished": built, **_sum(faults)}


def _shard(node: Node) -> str:
    """The name of the shard that is in use."""
    (record,) = (node.home / "agent").glob("collections/*/collection.json")
    return str(json.loads(record.read_text())["shard"])


def kill_while_migrating(node: Node, kills: int, seed: int) -> dict[str, Any]:
    """To version 2 and back, again and again; also in the moment of the cut-over."""
    chance = random.Random(seed)
    pictures = Pictures(node.artifacts, np.random.default_rng(seed))
    images = pictures.make(IMAGES)
    paths = []
    for number, image in enumerate(images):
        path = node.images / f"{number}.png"
        path.write_bytes(image)
        paths.append(str(path))
    expected = {
        space: dict(zip(paths, pictures.embed(images, version), strict=True))
        for version, space in ((1, SPACE_ID), (2, NEW_SPACE_ID))
    }
    node.start()
    with Client(node.address) as client:
        items = [IndexItem(uri, image) for uri, image in zip(paths, images, strict=True)]
        assert all(outcome.error is None for outcome in client.index(items))
    faults: list[dict[str, int]] = []
    done = cut_overs = 0
    while done < kills:
        before = node.space_id()
        version = 2 if before == SPACE_ID else 1
        with CareClient(node.address) as care:
            care.start_migration(COLLECTION, f"{MODEL}:{version}")
        for _ in range(chance.randrange(1, 4)):
            time.sleep(chance.uniform(0.0, 0.6))
            node.kill()
            node.start()
            done += 1
            faults.append(_check_space(node, expected))
        _await_ready(node)
        if chance.random() < 0.5:
            _cut_over_and_kill(node, chance)
            done += 1
            faults.append(_check_space(node, expected))
        if node.space_id() == before:
            with CareClient(node.address) as care:
                care.cut_over(COLLECTION, force=True)
        cut_overs += 1
        if node.space_id() == before:
            raise RuntimeError("a cut-over changed nothing")
        faults.append(_check_space(node, expected))
    node.kill()
    return {"images": IMAGES, "cut_overs": cut_overs, "kills_done": done, **_sum(faults)}


def _await_ready(node: Node) -> None:
    until = time.monotonic() + MIGRATION_SECONDS
    with CareClient(node.address) as care:
        while (found := care.migration(COLLECTION)).state != "ready":
            if found.state == "cut_over":
                return
            if found.state != "running" or time.monotonic() > until:
                raise RuntimeError(f"the migration ended as {found}")
            time.sleep(0.05)


def _cut_over_and_kill(node: Node, chance: random.Random) -> None:
    with CareClient(node.address) as care:
        call = _in_thread(lambda: care.cut_over(COLLECTION, force=True))
        time.sleep(chance.uniform(0.0, 0.15))
        node.kill()
        call()
    node.start()


def _in_thread(work: Callable[[], Any]) -> Callable[[], None]:
    import threading

    def run() -> None:
        try:
            work()
        except RsqError:
            pass  # it was killed on its way

    thread = threading.Thread(target=run)
    thread.start()
    return thread.join


def _check_space(node: Node, expected: dict[str, dict[str, NDArray[np.float32]]]) -> dict[str, int]:
    """The collection is whole, in one space, whichever it is."""
    ledger = Ledger()
    ledger.acknowledged = dict(expected[node.space_id()])
    return ledger.compare(node.stored())


def _sum(faults: list[dict[str, int]]) -> dict[str, Any]:
    return {
        "checks": len(faults),
        "faults": {name: sum(fault[name] for fault in faults) for name in faults[0]},
    }


RUNS: dict[str, Callable[[Node, int, int], dict[str, Any]]] = {
    "indexing": kill_while_indexing,
    "optimizing": kill_while_optimizing,
    "migrating": kill_while_migrating,
}


def run(folder: Path, kills: int, kinds: tuple[str, ...] = KINDS) -> dict[str, Any]:
    found: dict[str, Any] = {"cpu": cpu_name(), "cores": os.cpu_count(), "seed": SEED}
    for place, kind in enumerate(kinds):
        node = Node(folder / kind)
        share = kills // len(kinds) + (place < kills % len(kinds))
        with node.killed_at_the_end():
            found[kind] = {"kills": share, **RUNS[kind](node, share, SEED + place)}
        opened = node.open_seconds[1:]  # the first one finds its pace
        found[kind]["open_seconds"] = {
            "median": statistics.median(opened),
            "largest": max(opened),
        }
    found["faults"] = sum(sum(found[kind]["faults"].values()) for kind in kinds)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/index_kills.json")
    options = parser.parse_args()
    kinds = tuple(options.kind or KINDS)
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), options.kills, kinds)
    options.out.write_text(json.dumps(found, indent=2) + "\n")
    for kind in kinds:
        row = found[kind]
        opened = row["open_seconds"]
        print(
            f"{kind}: {row['kills']} kills, {row['checks']} checks, faults {row['faults']}; opens "
            f"in {opened['median']:.1f} s (at most {opened['largest']:.1f})"
        )
    return 1 if found["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
