"""Everything that reads bytes which somebody else wrote, as targets to fuzz."""

from __future__ import annotations

import tempfile
from pathlib import Path

import grpc
from fuzz_node_targets import NODE_TARGETS
from fuzz_target import SHARED_MEMORY, Target, as_file, as_folder, as_message
from google.rpc import error_details_pb2, status_pb2

from rsq.bundle import BundleReader
from rsq.bundle_index import decode_index
from rsq.chunks import Bitmap
from rsq.errors import RsqError
from rsq.images import load_pixel_values
from rsq.kserve import inference_pb2
from rsq.manifest import ImageSpec, TextSpec, decode_manifest
from rsq.probe import decode_probe
from rsq.reference import parse_reference, require_alias
from rsq.request_id import choose_request_id
from rsq.tar_header import decode_size
from rsq.text import TextTokenizer
from rsq.torch_archive import GRAPH_RECORD, check_archive
from rsq.units import parse_seconds, parse_size
from rsq.v1 import agent_pb2, embedding_pb2, registry_pb2, retrieval_pb2
from rsq.version_record import decode_version
from rsq.wire import agent as agent_wire
from rsq.wire import embedding as embedding_wire
from rsq.wire import registry as registry_wire
from rsq.wire import retrieval as retrieval_wire
from rsq.wire.search_query import query_part_from_pb, search_options_from_pb
from rsq.wire.status import from_rpc_error
from rsq.wire.vectors import vectors_from_pb
from rsq_agent.cache import Cache
from rsq_agent.collections.collection_record import RECORD_NAME, read_record
from rsq_agent.http.http_requests import parse_request
from rsq_agent.rpc.kserve_tensors import TensorSpec, files_from_pb, pixels_from_pb, texts_from_pb
from rsq_agent.state import load_state

MAX_PIXELS = 1 << 16  # keeps an execution short; the bound itself is what is tried
IMAGE = ImageSpec(height=8, width=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
TEXT = TextSpec(max_length=8, pad_id=0, eos_id=1, lower_case=True)


def _read_bundle(data: bytes) -> None:
    with as_file(data) as path, BundleReader(path) as bundle:
        for artifact in bundle.version().artifacts:
            bundle.manifest(artifact.id)


def _fill_bitmap(data: bytes) -> None:
    held = Bitmap(len(data) * 8, data)
    assert len(held.missing()) + sum(byte.bit_count() for byte in data) == held.count


def _check_archive(data: bytes) -> None:
    name, _, content = data.partition(b"\n")
    records = {GRAPH_RECORD: content}
    check_archive([GRAPH_RECORD, name.decode("latin-1")], lambda key: records.get(key, b""))


def _read_tokenizer(data: bytes) -> None:
    with as_file(data) as path:
        TextTokenizer.open(path, TEXT).encode(["Port with large cargo ships", "a"])


def _read_state(data: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        cache = Cache(Path(folder))
        cache.state_path.write_bytes(data)
        load_state(cache).activation(None)


def _read_collection_record(data: bytes) -> None:
    with as_folder(RECORD_NAME, data) as folder:
        read_record(folder)


def _read_words(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    choose_request_id(text)
    for read in (parse_reference, require_alias, parse_size, parse_seconds):
        try:
            read(text)
        except RsqError:
            continue


def _read_error_details(data: bytes) -> None:
    status = status_pb2.Status(code=9, message="no")
    info = error_details_pb2.ErrorInfo(
        reason="NOTHING_FITS",
        domain="rsq",
        metadata={"candidates": data.decode("utf-8", "replace"), "index": "1"},
    )
    status.details.add().Pack(info)
    raise from_rpc_error(_Failure(status), target="127.0.0.1:1")


class _Failure(grpc.RpcError):
    """A failed call with these details."""

    def __init__(self, status: status_pb2.Status) -> None:
        self._status = status

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.FAILED_PRECONDITION

    def details(self) -> str:
        return self._status.message

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return (("grpc-status-details-bin", self._status.SerializeToString()),)


def _read_search(message: retrieval_pb2.SearchRequest) -> None:
    search_options_from_pb(message)
    for part in message.parts:
        query_part_from_pb(part)


def _read_tensors(message: inference_pb2.ModelInferRequest) -> None:
    for read, spec in (
        (texts_from_pb, TensorSpec("text", "BYTES")),
        (files_from_pb, TensorSpec("image", "BYTES")),
        (pixels_from_pb, TensorSpec("pixel_values", "FP32", (3, 2, 2))),
    ):
        try:
            read(message, spec)
        except RsqError:
            continue


TARGETS = (
    *NODE_TARGETS,
    Target("manifest", decode_manifest, is_json=True),
    Target("version-record", decode_version, is_json=True),
    Target("bundle-index", decode_index, is_json=True),
    Target("bundle", _read_bundle, slow=True),
    Target("tar-header", decode_size),
    Target("bitmap", _fill_bitmap),
    Target("probe", decode_probe, is_json=True),
    Target("torch-archive", _check_archive),
    Target("tokenizer", _read_tokenizer, is_json=True, slow=True),
    Target("image", lambda data: load_pixel_values(data, IMAGE, max_pixels=MAX_PIXELS), slow=True),
    Target("words", _read_words),
    Target("http-embeddings", parse_request, is_json=True),
    Target("error-details", _read_error_details, is_json=True),
    Target("state", _read_state, is_json=True, slow=True),
    Target("collection-record", _read_collection_record, is_json=True, slow=True),
    Target("pb-version", as_message(registry_pb2.Version, registry_wire.version_from_pb)),
    Target(
        "pb-node-report", as_message(registry_pb2.NodeReport, registry_wire.node_report_from_pb)
    ),
    Target("pb-search", as_message(retrieval_pb2.SearchRequest, _read_search)),
    Target("pb-index", as_message(retrieval_pb2.IndexRequest, retrieval_wire.index_item_from_pb)),
    Target("pb-vectors", as_message(embedding_pb2.Vectors, vectors_from_pb)),
    Target(
        "pb-model-info",
        as_message(embedding_pb2.GetModelInfoResponse, embedding_wire.model_info_from_pb),
    ),
    Target("pb-status", as_message(agent_pb2.GetStatusResponse, agent_wire.agent_status_from_pb)),
    Target("pb-infer", as_message(inference_pb2.ModelInferRequest, _read_tensors)),
)
