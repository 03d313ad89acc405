from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rsq.errors import BadInput, NotFound, SpaceMismatch
from rsq.retrieval import BoundingBox, Payload, StoredRecord, Window
from rsq.v1 import retrieval_pb2 as pb
from rsq.wire.stored_records import MAX_RECORDS, stored_record_from_pb, stored_record_to_pb
from rsq_agent.cache import Cache
from rsq_agent.collections.collection import Collection
from rsq_agent.collections.collection_store import CollectionStore
from rsq_agent.rpc.collections_transfer import CollectionsTransfer

DIMENSION = 8
SPACE_ID = "5" * 64
PAYLOAD = Payload(
    Window(0, 0, 64, 64),
    BoundingBox(4, 51, 5, 52),
    "2024-05-01T10:30:00Z",
    ("port",),
    ((4.0, 51.0), (5.0, 51.0), (5.0, 52.0)),
    "10-20",
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectionStore]:
    store = CollectionStore(tmp_path_factory.mktemp("collections"))
    yield store
    store.close()


@pytest.fixture
def store(kept: CollectionStore) -> CollectionStore:
    """Without records, but perhaps with an empty collection: making one takes seconds."""
    for name in kept.names():
        kept.open(name).delete_prefix("/")
    return kept


@pytest.fixture
def filled() -> list[Collection]:
    """What the optimizer was given."""
    return []


@pytest.fixture
def transfer(
    store: CollectionStore, filled: list[Collection], tmp_path: Path
) -> CollectionsTransfer:
    return CollectionsTransfer(store, Cache(tmp_path), optimize=filled.append)


def make_records(count: int) -> list[StoredRecord]:
    rows = np.random.default_rng(1).normal(size=(count, DIMENSION)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return [StoredRecord(f"/{n}.png", PAYLOAD, "a" * 64, row) for n, row in enumerate(rows)]


def request(
    records: Sequence[StoredRecord],
    *,
    collection: str = "c",
    space_id: str = SPACE_ID,
    dimension: int = DIMENSION,
) -> pb.ImportRequest:
    return pb.ImportRequest(
        collection=collection,
        space_id=space_id,
        dimension=dimension,
        records=[stored_record_to_pb(record) for record in records],
    )


def export(transfer: CollectionsTransfer, name: str = "c") -> dict[str, StoredRecord]:
    first, *rest = transfer.export(pb.ExportRequest(collection=name))
    assert (first.space_id, first.dimension) == (SPACE_ID, DIMENSION)
    rows = [stored_record_from_pb(record) for reply in rest for record in reply.records]
    assert len(rows) == first.total
    return {row.uri: row for row in rows}


def test_what_is_imported_is_exported_as_it_was(
    transfer: CollectionsTransfer, filled: list[Collection]
) -> None:
    records = make_records(600)
    requests = (request(records[start : start + 200]) for start in range(0, 600, 200))
    outcomes = list(transfer.import_(requests))
    assert [outcome.uri for outcome in outcomes] == [record.uri for record in records]
    assert not any(outcome.HasField("error") for outcome in outcomes)
    assert [collection.name for collection in filled] == ["c"]
    stored = export(transfer)
    assert len(stored) == 600
    for record in records:
        row = stored[record.uri]
        assert (row.payload, row.artifact_id) == (record.payload, record.artifact_id)
        assert row.vector == pytest.approx(record.vector, abs=1e-6)


def test_importing_twice_changes_nothing(transfer: CollectionsTransfer) -> None:
    for _ in range(2):
        list(transfer.import_(iter([request(make_records(50))])))
        assert len(export(transfer)) == 50


def test_a_message_of_an_export_is_bounded(transfer: CollectionsTransfer) -> None:
    list(transfer.import_(request(make_records(200)) for _ in range(1)))
    big = Payload(tags=tuple(f"{n:0256}" for n in range(64)))  # 16 KiB
    rows = [
        StoredRecord(f"/big{n}", big, "a" * 64, r.vector) for n, r in enumerate(make_records(200))
    ]
    list(transfer.import_(iter([request(rows)])))
    replies = list(transfer.export(pb.ExportRequest(collection="c")))
    assert max(reply.ByteSize() for reply in replies) < 1.1 * 2**20
    assert max(len(reply.records) for reply in replies) <= MAX_RECORDS


def test_an_empty_collection_still_says_what_it_is(
    transfer: CollectionsTransfer, store: CollectionStore
) -> None:
    store.open_or_create("c", space_id=SPACE_ID, dimension=DIMENSION)
    assert export(transfer) == {}


def test_an_unknown_collection_is_not_found(transfer: CollectionsTransfer) -> None:
    with pytest.raises(NotFound, match="nope"):
        list(transfer.export(pb.ExportRequest(collection="nope")))


def test_a_record_that_cannot_be_stored_costs_itself_only(transfer: CollectionsTransfer) -> None:
    good, nan, short, long, nowhere = make_records(5)
    nan.vector[3] = np.nan
    messages = request([good, nan, short, long, nowhere])
    messages.records[2].vector = short.vector[:5].tobytes()
    messages.records[3].vector += b"\0"
    messages.records[4].uri = ""
    outcomes = list(transfer.import_(iter([messages])))
    errors = [outcome.error.message for outcome in outcomes]
    for error, part in zip(
        errors, ["", "finite", "5 values", "part of a number", "uri"], strict=True
    ):
        assert part in error
    assert errors[0] == ""
    assert list(export(transfer)) == [good.uri]


@pytest.mark.parametrize(
    "wrong", [{"space_id": "6" * 64}, {"dimension": 9}, {"space_id": "6" * 64, "dimension": 9}]
)
def test_vectors_of_another_space_or_dimension_are_refused_whole(
    transfer: CollectionsTransfer, wrong: dict[str, str | int]
) -> None:
    list(transfer.import_(iter([request(make_records(3))])))
    with pytest.raises(SpaceMismatch):
        list(transfer.import_(iter([request(make_records(5), **wrong)])))  # type: ignore[arg-type]
    assert len(export(transfer)) == 3


def test_a_stream_that_changes_its_mind_is_refused(transfer: CollectionsTransfer) -> None:
    first, second = request(make_records(1)), request(make_records(2), collection="d")
    with pytest.raises(BadInput, match="One stream"):
        list(transfer.import_(iter([first, second])))
    with pytest.raises(SpaceMismatch):
        list(transfer.import_(iter([first, request(make_records(2), space_id="6" * 64)])))
    with pytest.raises(BadInput, match="257 records"):
        list(transfer.import_(iter([request(make_records(257))])))


def test_vectors_that_were_not_measured_beside_those_there_are_refused(
    transfer: CollectionsTransfer, store: CollectionStore
) -> None:
    first, *others = make_records(3)
    list(transfer.import_(iter([request([first])])))
    strangers = [replace(record, artifact_id="b" * 64) for record in others]
    with pytest.raises(SpaceMismatch, match="was not measured"):
        list(transfer.import_(iter([request(strangers)])))
    assert store.open("c").count() == 1


def test_one_stream_can_not_mix_what_was_not_measured_together(
    transfer: CollectionsTransfer, store: CollectionStore
) -> None:
    first, second = make_records(2)
    with pytest.raises(SpaceMismatch, match="was not measured"):
        list(transfer.import_(iter([request([first, replace(second, artifact_id="b" * 64)])])))
    assert store.open("c").count() == 0
