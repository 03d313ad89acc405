"""Publishing over gRPC: blobs first, then the version that names them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import grpc

from rsq.call_record import current_caller
from rsq.chunks import MESSAGE_BYTES
from rsq.errors import BadInput
from rsq.v1 import registry_pb2 as pb
from rsq.v1.registry_pb2_grpc import PublishingServicer
from rsq.wire import registry as wire
from rsq_registry.blobs import Blobs
from rsq_registry.catalogue import Catalogue
from rsq_registry.leases import PUBLISHING_SECONDS
from rsq_server.submissions import Submissions
from rsq_server.uploads import Uploads

MAX_DIGESTS = 10_000  # of one question


class PublishingService(PublishingServicer):
    """Stores into a catalogue and its blobs; what these raise reaches the caller as it is."""

    def __init__(self, *, catalogue: Catalogue, blobs: Blobs, uploads: Uploads) -> None:
        self._catalogue = catalogue
        self._blobs = blobs
        self._uploads = uploads
        self._submissions = Submissions(catalogue, blobs)

    def FindMissing(
        self, request: pb.FindMissingRequest, context: grpc.ServicerContext
    ) -> pb.FindMissingResponse:
        if len(request.digests) > MAX_DIGESTS:
            raise BadInput(f"{len(request.digests)} digests were asked for, over {MAX_DIGESTS}.")
        # Before looking, so that garbage collection can't come in between.
        self._catalogue.lease(request.digests, seconds=PUBLISHING_SECONDS)
        missing = [digest for digest in request.digests if not self._blobs.has(digest)]
        return pb.FindMissingResponse(digests=missing)

    def GetUpload(
        self, request: pb.GetUploadRequest, context: grpc.ServicerContext
    ) -> pb.GetUploadResponse:
        return pb.GetUploadResponse(held_bytes=self._uploads.held_bytes(request.digest))

    def WriteBlob(
        self, request_iterator: Iterator[pb.WriteBlobRequest], context: grpc.ServicerContext
    ) -> pb.WriteBlobResponse:
        first = next(request_iterator, None)
        if first is None:
            raise BadInput("The first message of an upload names its blob.")
        self._catalogue.lease([first.digest], seconds=PUBLISHING_SECONDS)
        done = self._uploads.append(
            first.digest, first.size_bytes, first.offset, _data(first, request_iterator)
        )
        return pb.WriteBlobResponse(held_bytes=done.held_bytes, complete=done.complete)

    def AddVersion(
        self, request: pb.AddVersionRequest, context: grpc.ServicerContext
    ) -> pb.AddVersionResponse:
        row = self._submissions.add(
            request.record,
            alias=request.alias if request.HasField("alias") else None,
            by=current_caller(),
        )
        return pb.AddVersionResponse(version=wire.version_to_pb(row))


def _data(first: pb.WriteBlobRequest, rest: Iterator[pb.WriteBlobRequest]) -> Iterator[bytes]:
    for message in itertools.chain([first], rest):
        if len(message.data) > MESSAGE_BYTES:
            raise BadInput(f"A message of an upload brings at most {MESSAGE_BYTES} bytes.")
        yield message.data
