"""ReadBlob as every server of blobs answers it: short, bounded, in messages of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rsq.chunks import MAX_CALL_BYTES, MESSAGE_BYTES
from rsq.errors import BadInput
from rsq.v1 import registry_pb2 as pb


def read_in_messages(
    request: pb.ReadBlobRequest, *, size_bytes: int, read: Callable[[int, int], bytes]
) -> Iterator[pb.ReadBlobResponse]:
    """The range that `request` asks for, cut short where the blob of `size_bytes` ends; `read`
    takes offset and length. Raises BadInput for a range outside."""
    if not 1 <= request.length <= MAX_CALL_BYTES:
        raise BadInput(f"A read is of 1 to {MAX_CALL_BYTES} bytes, not {request.length}.")
    if request.offset >= size_bytes:
        raise BadInput(
            f"Offset {request.offset} is beyond the blob {request.digest}, "
            f"which has {size_bytes} bytes."
        )
    offset, end = request.offset, min(request.offset + request.length, size_bytes)
    while data := read(offset, min(MESSAGE_BYTES, end - offset)):
        yield pb.ReadBlobResponse(data=data)
        offset += len(data)
