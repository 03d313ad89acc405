"""Other vector indexes, in this process, on the same vectors; each raises ImportError where it is
not installed. Their graphs have Qdrant Edge's parameters; the width of a search is the least of a
few that reaches the wanted recall."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

M = 16
BUILD_WIDTH = 100
WIDTHS = (32, 64, 128, 256, 512)
RECALL = 0.99

Rows = NDArray[np.float32]
Ask = Callable[[Rows], Sequence[int]]


def measure_queries(ask: Ask, queries: Rows, truth: NDArray[np.int64]) -> dict[str, float]:
    """`truth` is [q, k]."""
    times, found = [], 0
    for query, right in zip(queries, truth, strict=True):
        began = time.perf_counter()
        places = ask(query)
        times.append((time.perf_counter() - began) * 1000)
        found += len(set(places) & set(right.tolist()))
    return {
        "p50_ms": round(float(np.percentile(times, 50)), 3),
        "p99_ms": round(float(np.percentile(times, 99)), 3),
        "recall_at_10": round(found / truth.size, 4),
    }


def measure_faiss(vectors: Rows, queries: Rows, truth: NDArray[np.int64], k: int) -> dict[str, Any]:
    import faiss

    index = faiss.IndexHNSWFlat(vectors.shape[1], M, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = BUILD_WIDTH
    rate = _rate(lambda: index.add(vectors), len(vectors))

    def widen(width: int) -> Ask:
        index.hnsw.efSearch = width
        return lambda query: index.search(query[None], k)[1][0].tolist()

    return {"insert_and_build_per_second": rate, **_least_width(widen, queries, truth)}


def measure_usearch(
    vectors: Rows, queries: Rows, truth: NDArray[np.int64], k: int
) -> dict[str, Any]:
    from usearch.index import Index

    index = Index(
        ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=M, expansion_add=BUILD_WIDTH
    )
    rate = _rate(lambda: index.add(np.arange(len(vectors)), vectors), len(vectors))

    def widen(width: int) -> Ask:
        index.expansion_search = width
        return lambda query: index.search(query, k).keys.tolist()

    return {"insert_and_build_per_second": rate, **_least_width(widen, queries, truth)}


def measure_milvus(
    vectors: Rows, queries: Rows, truth: NDArray[np.int64], k: int
) -> dict[str, Any]:
    from pymilvus import MilvusClient

    with tempfile.TemporaryDirectory() as folder:
        client = MilvusClient(str(Path(folder) / "milvus.db"))
        client.create_collection(
            "bench", dimension=vectors.shape[1], metric_type="IP", auto_id=False
        )

        def insert() -> None:
            for start in range(0, len(vectors), 1000):
                rows = vectors[start : start + 1000]
                client.insert(
                    "bench", [{"id": start + i, "vector": row} for i, row in enumerate(rows)]
                )

        rate = _rate(insert, len(vectors))

        def ask(query: Rows) -> Sequence[int]:
            hits = client.search("bench", [query.tolist()], limit=k, output_fields=[])[0]
            return [int(hit["id"]) for hit in hits]

        few = 100  # it compares every vector
        row = measure_queries(ask, queries[:few], truth[:few])
        client.close()
    return {"insert_and_build_per_second": rate, **row}


PEERS = {"faiss HNSW": measure_faiss, "usearch": measure_usearch, "milvus-lite": measure_milvus}


def _rate(work: Callable[[], object], count: int) -> int:
    began = time.perf_counter()
    work()
    return round(count / (time.perf_counter() - began))


def _least_width(
    widen: Callable[[int], Ask], queries: Rows, truth: NDArray[np.int64]
) -> dict[str, Any]:
    for width in WIDTHS:
        row = measure_queries(widen(width), queries, truth)
        if row["recall_at_10"] >= RECALL:
            break
    return {"search_width": width, **row}
