"""Migrations and checks of collections on the wire."""

from __future__ import annotations

from rsq.retrieval import Compaction, Migration, RecallCheck
from rsq.v1 import retrieval_pb2 as pb


def migration_to_pb(row: Migration) -> pb.Migration:
    return pb.Migration(**vars(row))


def migration_from_pb(message: pb.Migration) -> Migration:
    return Migration(
        collection=message.collection,
        state=message.state,
        old_space_id=message.old_space_id,
        new_space_id=message.new_space_id,
        model=message.model,
        done=message.done,
        total=message.total,
        failed=message.failed,
        overlap_at_10=message.overlap_at_10,
        sampled_queries=message.sampled_queries,
        message=message.message,
    )


def recall_check_to_pb(row: RecallCheck) -> pb.CheckRecallResponse:
    return pb.CheckRecallResponse(**vars(row))


def recall_check_from_pb(message: pb.CheckRecallResponse) -> RecallCheck:
    return RecallCheck(
        recall=message.recall,
        queries=message.queries,
        k=message.k,
        points=message.points,
        approximate_p50_ms=message.approximate_p50_ms,
        exact_p50_ms=message.exact_p50_ms,
        search_width=message.search_width,
        is_exact=message.is_exact,
    )


def compaction_to_pb(row: Compaction) -> pb.CompactResponse:
    return pb.CompactResponse(**vars(row))


def compaction_from_pb(message: pb.CompactResponse) -> Compaction:
    return Compaction(message.points, message.before_bytes, message.after_bytes)
