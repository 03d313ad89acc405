"""How fast vectors come into a collection and are found again through the agent, next to other
vector indexes in one run.

The collection is filled and its graph built as the agent does it. Then an agent serves it and one
client asks over gRPC with vectors, so that no model is in the figures. Recall is against exact
search by numpy. Other indexes are measured in this process, without a call between; those that are
not installed are left out.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from base_towers import cpu_name
from numpy.typing import NDArray
from peer_indexes import PEERS, measure_queries
from programs import Programs

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from tiny_artifacts import SPACE_ID, build_artifact  # noqa: E402
from tiny_node import stock  # noqa: E402

from rsq.client import Client  # noqa: E402
from rsq.retrieval import BoundingBox, QueryPart, SearchFilter, SearchOptions  # noqa: E402
from rsq_agent.cache import Cache  # noqa: E402
from rsq_agent.collections.collection import Collection  # noqa: E402
from rsq_agent.collections.collection_store import CollectionStore  # noqa: E402
from rsq_agent.collections.index_points import IndexPoint  # noqa: E402
from rsq_agent.collections.search_widths import read_widths  # noqa: E402
from rsq_agent.state import NodeState, save_state  # noqa: E402

K = 10
QUERIES = 1000
BATCH = 1024
TILE_DEGREES = 0.02
SCENE_TILES = 100
FIRST_DAY = np.datetime64("2024-01-01")
NOISE = 0.35  # of the length of a real embedding
CLUSTERS = 2000
# Box and time range that each let through about this share of the points.
FILTERS = {
    "1 %": (BoundingBox(-18.0, -28.5, 96.0, 28.5), 36),
    "10 %": (BoundingBox(-100.0, -45.0, 62.0, 60.0), 139),
}


@dataclass(frozen=True)
class Data:
    vectors: NDArray[np.float32]  # [n, dim]
    queries: NDArray[np.float32]  # [q, dim]
    warm_up: NDArray[np.float32]  # others, so that what was just used doesn't help the queries
    west: NDArray[np.float64]
    south: NDArray[np.float64]
    day: NDArray[np.int64]

    def points(self, start: int, stop: int) -> list[IndexPoint]:
        return [
            IndexPoint(
                f"/archive/{i // SCENE_TILES:06d}/{i % SCENE_TILES:02d}.tif",
                self.vectors[i],
                "a" * 64,
                SPACE_ID,
                bbox=BoundingBox(
                    float(self.west[i]),
                    float(self.south[i]),
                    float(self.west[i]) + TILE_DEGREES,
                    float(self.south[i]) + TILE_DEGREES,
                ),
                datetime=f"{FIRST_DAY + self.day[i]}T10:30:00Z",
            )
            for i in range(start, min(stop, len(self.vectors)))
        ]

    def matches(self, box: BoundingBox, days: int) -> NDArray[np.bool_]:
        return np.asarray(
            (self.west <= box.east)
            & (self.west + TILE_DEGREES >= box.west)
            & (self.south <= box.north)
            & (self.south + TILE_DEGREES >= box.south)
            & (self.day < days)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=768)
    parser.add_argument("--base", type=Path, help="real embeddings [n, dim] to add noise to (.npy)")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--keep", type=Path, help="a folder for the collection, used if filled")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    data = make_data(options.points, options.dimension, options.base)
    truth = find_truth(data)
    with tempfile.TemporaryDirectory() as folder:
        ours = measure_collection(options.keep or Path(folder), data, truth)
    rows = {"rsq agent, over gRPC": ours}
    for name, peer in {} if options.no_peers else PEERS.items():
        try:
            rows[name] = peer(data.vectors, data.queries, truth["all"], K)
        except ImportError as e:
            print(f"{name}: left out, {e}")
    for name, row in rows.items():
        print(name, json.dumps(row, indent=2))
    if options.out is not None:
        key = f"{len(data.vectors)} x {data.vectors.shape[1]}"
        results = json.loads(options.out.read_text()) if options.out.is_file() else {}
        results[key] = {
            "cpu": cpu_name(),
            "source": "real embeddings plus noise" if options.base else "synthetic, clustered",
            "indexes": rows,
        }
        options.out.write_text(json.dumps(results, indent=2) + "\n")


def make_data(count: int, dimension: int, base: Path | None) -> Data:
    random = np.random.default_rng(20_261_123)
    if base is not None:
        centres = np.load(base).astype(np.float32)
    else:
        centres = random.normal(size=(CLUSTERS, dimension)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)

    def draw(rows: int) -> NDArray[np.float32]:
        noise = random.normal(size=(rows, centres.shape[1])).astype(np.float32)
        noise *= NOISE / np.sqrt(centres.shape[1])
        made = centres[random.integers(len(centres), size=rows)] + noise
        return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)

    vectors = np.concatenate([draw(min(50_000, count - i)) for i in range(0, count, 50_000)])
    return Data(
        vectors=vectors,
        queries=draw(QUERIES),
        west=random.uniform(-180, 180 - TILE_DEGREES, count),
        south=random.uniform(-90, 90 - TILE_DEGREES, count),
        day=random.integers(0, 365, count),
        warm_up=draw(QUERIES),
    )


def find_truth(data: Data) -> dict[str, NDArray[np.int64]]:
    """Places of the K best of each query, [q, K], by the name of the filter."""
    truth = {"all": nearest(data.vectors, data.queries)}
    for name, (box, days) in FILTERS.items():
        places = np.flatnonzero(data.matches(box, days))
        truth[name] = places[nearest(data.vectors[places], data.queries)]
        print(f"filter {name}: {len(places) / len(data.vectors):.2%} of the points")
    return truth


def nearest(vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.int64]:
    found = []
    for query in np.array_split(queries, 50):
        cosines = query @ vectors.T
        best = np.argpartition(-cosines, K, axis=1)[:, :K]
        order = np.argsort(-np.take_along_axis(cosines, best, axis=1), axis=1)
        found.append(np.take_along_axis(best, order, axis=1))
    return np.concatenate(found)


def measure_collection(
    folder: Path, data: Data, truth: dict[str, NDArray[np.int64]]
) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "made.json"
    if not made.is_file():
        row = fill_and_build(folder, data)
        made.write_text(json.dumps(row))
    row = json.loads(made.read_text())
    programs = Programs(folder)
    with programs.serve_agent(), Client(programs.agent) as client:
        process = find_agent(programs.agent)
        row["rss_mb_before_searches"] = round(process.memory_info().rss / 1e6)
        row["searches"] = {"all": search(client, data, truth["all"], SearchFilter())}
        for name, (box, days) in FILTERS.items():
            where = SearchFilter(bbox=box, until=f"{FIRST_DAY + days}T00:00:00Z")
            row["searches"][name] = search(client, data, truth[name], where)
        row["rss_mb"] = round(process.memory_info().rss / 1e6)
    return row


def fill_and_build(folder: Path, data: Data) -> dict[str, Any]:
    """A node below `folder` with the collection `default`; what that took."""
    cache = Cache(folder / "agent")
    artifacts = [build_artifact(folder / tower, tower) for tower in ("vision", "text")]
    save_state(cache, NodeState().activate(stock(cache, artifacts)))
    store = CollectionStore(cache.collections_folder)
    dimension = data.vectors.shape[1]
    collection = store.create("default", space_id=SPACE_ID, dimension=dimension)
    gc.freeze()  # as `rsq-agent serve` does
    row: dict[str, Any] = {"upsert_per_second": round(fill(collection, data))}
    print(row, flush=True)
    started = time.perf_counter()
    collection.optimize()
    row["build_seconds"] = round(time.perf_counter() - started, 1)
    row["disk_mb"] = round(collection.stats().bytes_on_disk / 1e6)
    store.close()
    (shard,) = cache.collections_folder.glob("default/shard-*")
    row["search_widths"] = asdict(read_widths(shard))
    print(row, flush=True)
    return row


def fill(collection: Collection, data: Data) -> float:
    """Vectors a second, durable ones; what makes the points is not counted."""
    seconds = 0.0
    for start in range(0, len(data.vectors), BATCH):
        points = data.points(start, start + BATCH)
        began = time.perf_counter()
        collection.add(points)
        seconds += time.perf_counter() - began
    return len(data.vectors) / seconds


def find_agent(address: str) -> psutil.Process:
    port = int(address.rpartition(":")[2])
    for connection in psutil.net_connections("tcp"):
        if connection.status == "LISTEN" and connection.laddr.port == port and connection.pid:
            return psutil.Process(connection.pid)
    raise RuntimeError(f"nothing listens on {address}")


def search(
    client: Client, data: Data, truth: NDArray[np.int64], where: SearchFilter
) -> dict[str, float]:
    options = SearchOptions(limit=K, filter=where)

    def ask(query: NDArray[np.float32]) -> list[int]:
        hits = client.search_parts([QueryPart(vector=query)], options, space_id=SPACE_ID)
        places = [hit.uri[len("/archive/") : -len(".tif")].split("/") for hit in hits]
        return [int(scene) * SCENE_TILES + int(tile) for scene, tile in places]

    for query in data.warm_up:
        ask(query)
    return measure_queries(ask, data.queries, truth)


if __name__ == "__main__":
    main()
