"""Writes the seeds of `tests/corpus`: one real input or more for each target.

PYTHONPATH=tests python tests/fuzz_seeds.py
"""

from __future__ import annotations

import io
import json
import struct
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from fuzz_node_seeds import make_node_seeds
from fuzz_target import CORPUS
from PIL import Image
from tiny_artifacts import build_artifact
from tiny_node import stock
from tiny_registry import store_version

from rsq.bundle_index import INDEX_NAME
from rsq.bundle_writer import write_bundle
from rsq.kserve import inference_pb2
from rsq.records import NodeReport
from rsq.retrieval import (
    BoundingBox,
    IndexItem,
    Origin,
    Payload,
    QueryPart,
    SearchFilter,
    SearchOptions,
    Window,
)
from rsq.tar_header import BLOCK_BYTES, decode_size, encode_header
from rsq.v1 import agent_pb2, embedding_pb2
from rsq.version_record import encode_version
from rsq.wire import registry as registry_wire
from rsq.wire.retrieval import index_item_to_pb
from rsq.wire.search_query import search_to_pb
from rsq.wire.vectors import vectors_to_pb
from rsq_agent.cache import Cache
from rsq_agent.collections.collection_record import CollectionRecord
from rsq_agent.state import NodeState, save_state
from rsq_server.app import open_stores
from rsq_server.config import ServerConfig

RING = ((170.0, -10.0), (-170.0, -10.0), (-170.0, 10.0))
WORDS = ("git-rsclip-base:3", "NAME@production", "2GB", "1.5GiB", "90s", "5m", "a" * 64)
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")


def make_seeds(folder: Path) -> dict[str, list[bytes]]:
    with open_stores(ServerConfig(folder / "server")) as stores:
        version = store_version(stores, folder / "sources", alias="production")
        manifests = [stores.catalogue.artifact_manifest(row.id) for row in version.artifacts]
        write_bundle(folder / "tiny.rsq", version, stores.blobs)
    bundle = (folder / "tiny.rsq").read_bytes()
    index_bytes = decode_size(bundle[:BLOCK_BYTES])
    assert index_bytes is not None
    report = NodeReport("n" * 32, "edge-1", "0.1.0", "cpu", ("cpu",), 10**9, "tiny", 1, (), ())
    window = Window(0, 0, 256, 256)
    payload = Payload(
        window, BoundingBox(1.0, 2.0, 3.0, 4.0), "2024-05-01T10:30:00Z", ("a",), RING, "1-1"
    )
    vector = np.eye(1, 4, dtype=np.float32)
    search = search_to_pb(
        [QueryPart(text="port"), QueryPart(vector=vector[0]), QueryPart(like=Origin("/a", window))],
        SearchOptions(filter=SearchFilter(BoundingBox(1, 2, 3, 4), RING, "2024-05-01T00:00:00Z")),
        collection="default",
        space_id="5" * 64,
    )
    record = CollectionRecord("scenes", "5" * 64, 16, "2024-05-01T10:30:00+00:00", "shard-0")
    tiny = build_artifact(folder / "text", "text")
    return {
        "manifest": manifests,
        "version-record": [encode_version(version)],
        "bundle-index": [bundle[BLOCK_BYTES : BLOCK_BYTES + index_bytes]],
        "bundle": [bundle],
        "tar-header": [encode_header(INDEX_NAME, 1234)],
        "bitmap": [b"\0\xff\x0f"],
        "probe": [(tiny.folder / "probe.json").read_bytes()],
        "torch-archive": [b"data/weights/weight_0\n" + json.dumps({"a": ["x", 1]}).encode()],
        "tokenizer": [(tiny.folder / "tokenizer.json").read_bytes()],
        "image": [*(_image(name) for name in FORMATS), _image("TIFF", "I;16"), _image("PNG", "P")],
        "words": [word.encode() for word in WORDS],
        "http-embeddings": [
            json.dumps({"input": ["port"], "model": "tiny", "encoding_format": "base64"}).encode(),
            json.dumps({"input": "data:image/png;base64,iVBORw0KGgo=", "dimensions": 4}).encode(),
        ],
        "error-details": [json.dumps([{"tower": "text", "reason": "OVER_BUDGET"}]).encode()],
        "state": [_state(folder)],
        "collection-record": [json.dumps(asdict(record)).encode()],
        "pb-version": [registry_wire.version_to_pb(version).SerializeToString()],
        "pb-node-report": [registry_wire.node_report_to_pb(report).SerializeToString()],
        "pb-search": [search.SerializeToString()],
        "pb-index": [
            index_item_to_pb(IndexItem("/a.tif", b"II*\0", payload), "default").SerializeToString()
        ],
        "pb-vectors": [
            vectors_to_pb(vector, kind).SerializeToString() for kind in ("float32", "int8")
        ],
        "pb-model-info": [_model_info().SerializeToString()],
        "pb-status": [agent_pb2.GetStatusResponse(node_id="n").SerializeToString()],
        "pb-infer": [_infer().SerializeToString()],
    }


def _image(name: str, mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (12, 9), 77).save(out, name)
    return out.getvalue()


def _state(folder: Path) -> bytes:
    cache = Cache(folder / "agent")
    save_state(cache, NodeState().activate(stock(cache, [build_artifact(folder / "t", "text")])))
    return cache.state_path.read_bytes()


def _model_info() -> embedding_pb2.GetModelInfoResponse:
    return embedding_pb2.GetModelInfoResponse(
        model="tiny", version=1, towers=[embedding_pb2.ServedTower(variant="int8")]
    )


def _infer() -> inference_pb2.ModelInferRequest:
    request = inference_pb2.ModelInferRequest(model_name="tiny-text")
    request.inputs.add(name="text", datatype="BYTES", shape=[1])
    request.raw_input_contents.append(struct.pack("<I", 4) + b"port")
    return request


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        seeds_of = make_seeds(Path(folder)) | make_node_seeds(Path(folder))
        for name, seeds in seeds_of.items():
            (CORPUS / name).mkdir(parents=True, exist_ok=True)
            for number, data in enumerate(seeds):
                (CORPUS / name / f"seed-{number}").write_bytes(data)


if __name__ == "__main__":
    main()
