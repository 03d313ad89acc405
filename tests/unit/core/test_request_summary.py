"""What the audit log says of a request."""

from __future__ import annotations

from rsq.rpc.request_summary import MAX_CHARACTERS, MAX_VALUES, summarize
from rsq.v1 import registry_pb2, retrieval_pb2


def test_fields_that_were_set_are_told_and_large_ones_are_cut() -> None:
    alias = registry_pb2.SetAliasRequest(model="m" * 1000, alias="x", version=3)
    found = summarize(alias)
    assert found["alias"] == "x"
    assert found["version"] == 3
    assert len(found["model"]) == MAX_CHARACTERS + 3
    blob = registry_pb2.WriteBlobRequest(digest="d", data=b"x" * 1000)
    assert summarize(blob) == {"digest": "d", "data": "1000 bytes"}


def test_lists_are_bounded_and_messages_are_followed_a_little() -> None:
    many = retrieval_pb2.DeleteRequest(uris=[f"{number}.jpg" for number in range(100)])
    found = summarize(many)["uris"]
    assert found[:2] == ["0.jpg", "1.jpg"]
    assert len(found) == MAX_VALUES + 1
    report = registry_pb2.ReportNodeRequest(report=registry_pb2.NodeReport(node_id="n"))
    assert summarize(report) == {"report": {"node_id": "n"}}


def test_what_is_no_message_has_no_summary() -> None:
    assert summarize(b"raw") == {}
