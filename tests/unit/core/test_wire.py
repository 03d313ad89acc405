from __future__ import annotations

import math

import numpy as np
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st
from tiny_artifacts import profile

from rsq import errors, records
from rsq.error_catalog import CATALOG
from rsq.errors import BadInput
from rsq.providers import CPU_PROVIDER
from rsq.retrieval import (
    BoundingBox,
    CollectionInfo,
    IndexItem,
    IndexOutcome,
    Payload,
    SearchHit,
    Window,
)
from rsq.v1 import embedding_pb2
from rsq.v1 import registry_pb2 as pb
from rsq.wire import embedding, registry, retrieval, status
from rsq.wire.vectors import VectorType, type_from_pb, vectors_from_pb, vectors_to_pb

VERSION = records.VersionRow(
    model="git-rsclip-base",
    version=3,
    space_id="a" * 64,
    dimension=768,
    created_at="2026-01-01T00:00:00Z",
    licence="Apache-2.0",
    source="hf:org/name",
    artifacts=(
        records.ArtifactRow(
            id="b" * 64,
            tower="vision",
            variant="int8",
            size_bytes=97_000_000,
            providers=(CPU_PROVIDER,),
            batch_invariant=True,
            evaluation=records.ArtifactEvaluation("b" * 64, "aid", "c" * 64, {"top1_match": 0.98}),
            profiles=(profile("b" * 64, peak_bytes=7),),
        ),
        records.ArtifactRow("d" * 64, "text", "fp32", 1, (), False),
    ),
    pairs=(records.PairEvaluation("b" * 64, "d" * 64, "aid", "c" * 64, {"top1_match": 0.97}),),
    aliases=("production", "staging"),
)
REPORT = records.NodeReport(
    node_id="n1",
    hostname="edge-7",
    agent_version="0.1.0",
    device="cpu",
    providers=(CPU_PROVIDER,),
    memory_bytes=8 << 30,
    model="git-rsclip-base",
    version=3,
    artifact_ids=("b" * 64,),
    profiles=(profile("b" * 64, peak_bytes=9),),
)


def test_a_version_survives_the_wire() -> None:
    message = pb.Version.FromString(registry.version_to_pb(VERSION).SerializeToString())
    assert registry.version_from_pb(message) == VERSION


def test_no_field_of_a_message_is_forgotten() -> None:
    """A field that the conversions leave unset would vanish silently."""
    for message in (
        registry.version_to_pb(VERSION).artifacts[0],
        registry.node_report_to_pb(REPORT),
        registry.profile_to_pb(profile("b" * 64, peak_bytes=9)),
    ):
        shown = json_format.MessageToDict(message, preserving_proto_field_name=True)
        assert set(shown) == {field.name for field in message.DESCRIPTOR.fields}


def test_models_and_nodes_survive_the_wire() -> None:
    model = records.ModelRow("m", 3, 3, {"production": 2})
    assert registry.model_from_pb(registry.model_to_pb(model)) == model
    node = records.NodeRow(REPORT, "2026-01-01T00:00:00Z")
    assert registry.node_from_pb(registry.node_to_pb(node)) == node


def test_a_tower_of_a_newer_release_is_refused() -> None:
    with pytest.raises(BadInput):
        registry.tower_from_pb(pb.Tower.ValueType(9))


def test_model_info_survives_the_wire() -> None:
    tower = embedding.ServedTower("text", "b" * 64, "int8", CPU_PROVIDER, 1, 2, True, 8, 0.99, 0.98)
    info = embedding.ModelInfo("m", 3, "a" * 64, 768, (tower,), "node", "cpu")
    assert embedding.model_info_from_pb(embedding.model_info_to_pb(info)) == info


def test_search_messages_survive_the_wire() -> None:
    payload = Payload(
        Window(1, 2, 3, 4), BoundingBox(5.5, -6.0, 7.0, 8.0), "2026-01-01T00:00:00Z", ("a",),
        ((5.5, -6.0), (7.0, -6.0), (6.0, 8.0)), "1-2",
    )  # fmt: skip
    for known in (payload, Payload()):
        message = retrieval.hit_to_pb(0.5, 0.25, "/x.jpg", "b" * 64, known.to_json())
        assert retrieval.hit_from_pb(message) == SearchHit(0.5, 0.25, "/x.jpg", known, "b" * 64)
    assert retrieval.payload_from_pb(retrieval.payload_to_pb(Payload())) == (Payload())
    item = IndexItem("/x.jpg", b"jpeg", payload)
    assert retrieval.index_item_from_pb(retrieval.index_item_to_pb(item, "c")) == item
    info = CollectionInfo("c", "a" * 64, 768, 5, 6, {"b" * 64: 5})
    assert retrieval.collection_info_from_pb(retrieval.collection_info_to_pb(info)) == info
    outcome = IndexOutcome("/x.jpg", errors.BadImage("not an image"))
    back = retrieval.index_outcome_from_pb(retrieval.index_outcome_to_pb(outcome))
    assert isinstance(back.error, errors.BadImage)
    assert str(back.error) == "not an image"


@pytest.mark.parametrize(
    ("kind", "tolerance"), [("float32", 0.0), ("float16", 1e-3), ("int8", 1 / 127)]
)
@given(rows=st.lists(st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3), max_size=4))
def test_vectors_come_back_within_the_precision_of_their_type(
    kind: VectorType, tolerance: float, rows: list[list[float]]
) -> None:
    array = np.array(rows, np.float32).reshape(-1, 3)
    back = vectors_from_pb(vectors_to_pb(array, kind))
    assert back.dtype == np.float32
    assert back.shape == array.shape
    assert np.abs(back - array).max(initial=0) <= tolerance


def test_vectors_that_do_not_add_up_are_refused() -> None:
    message = vectors_to_pb(np.ones((2, 3), np.float32), "float32")
    message.count = 1000
    with pytest.raises(BadInput):
        vectors_from_pb(message)
    with pytest.raises(BadInput):
        type_from_pb(embedding_pb2.DataType.ValueType(77))


@pytest.mark.parametrize(
    ("kind", "scale"), [("int8", math.inf), ("int8", math.nan), ("int8", 3e38), ("float16", 1.0)]
)
def test_vectors_that_are_not_finite_are_refused(kind: VectorType, scale: float) -> None:
    rows = np.array([[1.0, math.inf if kind == "float16" else 2.0]], np.float32)
    message = vectors_to_pb(rows, kind)
    message.scale = scale
    with pytest.raises(BadInput, match="finite"):
        vectors_from_pb(message)


def test_every_error_keeps_class_sentence_and_metadata_in_its_status() -> None:
    for outcome in CATALOG:
        sent = status.to_status(outcome.error("What happened.", metadata={"index": "4"}))
        info = error_details_pb2.ErrorInfo()
        assert sent.details[0].Unpack(info)
        assert (info.reason, info.domain) == (outcome.error.code, "rsq")
        assert dict(info.metadata)["index"] == "4"
        assert sent.message == "What happened."


def test_candidates_too_long_for_a_header_are_left_out_whole() -> None:
    candidates = [{"tower": "vision", "detail": "x" * 3000}] * 3
    sent = status.to_status(errors.NothingFits("no", candidates=candidates))
    assert sent.ByteSize() < 8000
