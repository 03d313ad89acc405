from __future__ import annotations

import pytest

from rsq.call_record import (
    MAX_EMBEDDINGS,
    CallRecord,
    EmbeddingTimes,
    note_embedding,
    observe_call,
)
from rsq.request_id import current_request_id

TIMES = EmbeddingTimes(queue_ms=1.0, preprocess_ms=2.0, inference_ms=3.0, total_ms=6.0)


def test_a_call_is_told_once_complete_and_under_its_id() -> None:
    told: list[tuple[CallRecord, str]] = []
    with observe_call(
        CallRecord("Embedding/EmbedText", "r1"),
        [lambda record: told.append((record, current_request_id()))],
    ):
        assert current_request_id() == "r1"
        note_embedding("a" * 64, TIMES)
        assert not told
    ((record, request_id),) = told
    assert request_id == "r1"
    assert record.code == "OK"
    assert record.milliseconds > 0
    assert record.artifact_id == "a" * 64
    assert record.embeddings == [TIMES]
    assert current_request_id() == ""


def test_an_exception_counts_as_internal_unless_a_code_was_set() -> None:
    told: list[CallRecord] = []
    with pytest.raises(ZeroDivisionError), observe_call(CallRecord("m", "r"), [told.append]):
        raise ZeroDivisionError
    cancelled = CallRecord("m", "r", code="CANCELLED")
    with pytest.raises(ZeroDivisionError), observe_call(cancelled, [told.append]):
        raise ZeroDivisionError
    assert [record.code for record in told] == ["INTERNAL", "CANCELLED"]


def test_a_long_stream_keeps_a_bounded_record() -> None:
    with observe_call(CallRecord("m", "r"), []) as record:
        for _ in range(MAX_EMBEDDINGS * 2):
            note_embedding("a", TIMES)
    assert len(record.embeddings) == MAX_EMBEDDINGS


def test_an_embedding_outside_of_a_call_is_nobodys() -> None:
    note_embedding("a", TIMES)
    with observe_call(CallRecord("m", "r"), []) as record:
        pass
    assert record.artifact_id == ""
    assert not record.embeddings
