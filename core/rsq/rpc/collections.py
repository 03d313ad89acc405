"""Moving whole collections in and out of an agent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rsq.errors import RsqError
from rsq.retrieval import CollectionExport, IndexOutcome, StoredRecord
from rsq.rpc.channel import translate_errors
from rsq.rpc.endpoint import Target
from rsq.v1 import retrieval_pb2 as pb
from rsq.v1.retrieval_pb2_grpc import CollectionsStub
from rsq.wire.retrieval import index_outcome_from_pb
from rsq.wire.stored_records import group_records, stored_record_from_pb


def export_collection(stub: CollectionsStub, target: Target, collection: str) -> CollectionExport:
    with translate_errors(target):
        replies = stub.Export(pb.ExportRequest(collection=collection))
        first = next(replies)

    def read() -> Iterator[StoredRecord]:
        reply = first
        while True:
            for message in reply.records:
                yield stored_record_from_pb(message)
            with translate_errors(target):
                try:
                    reply = next(replies)
                except StopIteration:
                    return

    return CollectionExport(first.space_id, first.dimension, first.total, read())


def import_records(
    stub: CollectionsStub,
    target: Target,
    records: Iterable[StoredRecord],
    *,
    space_id: str,
    dimension: int,
    collection: str,
) -> Iterator[IndexOutcome]:
    """Raises, after what came before was answered, the error that `records` raised."""
    failures: list[RsqError] = []

    def read() -> Iterator[StoredRecord]:
        try:
            yield from records
        except RsqError as e:  # grpc would replace it by an error of its own
            failures.append(e)

    requests = (
        pb.ImportRequest(
            collection=collection, space_id=space_id, dimension=dimension, records=group
        )
        for group in group_records(read())
    )
    with translate_errors(target):
        for reply in stub.Import(requests):
            yield index_outcome_from_pb(reply)
    if failures:
        raise failures[0]
