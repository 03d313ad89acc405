"""Stored vectors on the wire, as exports and imports carry them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from rsq.errors import BadInput
from rsq.retrieval import StoredRecord
from rsq.v1 import retrieval_pb2 as pb
from rsq.wire.retrieval import payload_from_pb, payload_to_pb

MAX_RECORDS = 256  # of one message
# A message stays about as small as a chunk of a file, so that a stream holds little memory.
_MESSAGE_BYTES = 1 << 20


def stored_record_to_pb(row: StoredRecord) -> pb.StoredRecord:
    return pb.StoredRecord(
        uri=row.uri,
        payload=payload_to_pb(row.payload),
        artifact_id=row.artifact_id,
        vector=row.vector.astype("<f4").tobytes(),
    )


def stored_record_from_pb(message: pb.StoredRecord) -> StoredRecord:
    """Raises BadInput for a vector that is not whole."""
    if len(message.vector) % 4:
        raise BadInput(f"The vector of {message.uri[:200]!r} has a part of a number.")
    return StoredRecord(
        message.uri,
        payload_from_pb(message.payload),
        message.artifact_id,
        np.frombuffer(message.vector, "<f4").astype(np.float32),
    )


def group_records(rows: Iterable[StoredRecord]) -> Iterator[list[pb.StoredRecord]]:
    """`rows` in order, as many a group as fit a message."""
    group: list[pb.StoredRecord] = []
    size_bytes = 0
    for row in rows:
        message = stored_record_to_pb(row)
        more_bytes = message.ByteSize()
        if group and (len(group) == MAX_RECORDS or size_bytes + more_bytes > _MESSAGE_BYTES):
            yield group
            group, size_bytes = [], 0
        group.append(message)
        size_bytes += more_bytes
    if group:
        yield group
