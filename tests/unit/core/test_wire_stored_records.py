from __future__ import annotations

import numpy as np
import pytest

from rsq.errors import BadInput
from rsq.retrieval import BoundingBox, Payload, StoredRecord, Window
from rsq.wire.stored_records import (
    MAX_RECORDS,
    group_records,
    stored_record_from_pb,
    stored_record_to_pb,
)


def make_record(dimension: int = 4, tags: tuple[str, ...] = ()) -> StoredRecord:
    payload = Payload(
        Window(0, 256, 64, 32), BoundingBox(4, 51, 5, 52), "2024-05-01T10:30:00Z", tags
    )
    vector = np.linspace(-1, 1, dimension, dtype=np.float32)
    return StoredRecord("/scenes/a.tif", payload, "a" * 64, vector)


def test_a_record_comes_back() -> None:
    record = make_record(tags=("port",))
    back = stored_record_from_pb(stored_record_to_pb(record))
    assert (back.uri, back.payload, back.artifact_id) == (
        record.uri,
        record.payload,
        record.artifact_id,
    )
    assert back.vector.dtype == np.float32
    assert back.vector.tolist() == record.vector.tolist()


def test_half_a_number_is_refused() -> None:
    message = stored_record_to_pb(make_record())
    message.vector = message.vector[:-2]
    with pytest.raises(BadInput, match="part of a number"):
        stored_record_from_pb(message)


def test_groups_keep_the_order_and_are_bounded_in_count() -> None:
    rows = [make_record() for _ in range(2 * MAX_RECORDS + 7)]
    groups = list(group_records(iter(rows)))
    assert [len(group) for group in groups] == [MAX_RECORDS, MAX_RECORDS, 7]
    assert list(group_records([])) == []


def test_groups_are_bounded_in_bytes_and_a_record_that_is_larger_goes_alone() -> None:
    large = [make_record(dimension=100_000) for _ in range(5)]  # 400 kB each
    assert [len(group) for group in group_records(large)] == [2, 2, 1]
    huge = [make_record(dimension=400_000) for _ in range(2)]
    assert [len(group) for group in group_records(huge)] == [1, 1]
