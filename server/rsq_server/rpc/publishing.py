"""Publishing over gRPC: blobs first, then the version that names them."""

from __future__ import annotations

from collections.abc import Iterator

import grpc

from rsq.errors import BadInput
from rsq.manifest import MAX_MANIFEST_BYTES
from rsq.v1 import registry_pb2 as pb
from rsq.v1.registry_pb2_grpc import PublishingServicer
from rsq.version_record import decode_version
from rsq.wire import registry as wire
from rsq_registry.blobs import Blobs
from rsq_registry.catalogue import Catalogue
from rsq_registry.drafts import draft_from_record
from rsq_server.rpc.callers import describe_caller
from rsq_server.uploads import Uploads

MAX_DIGESTS = 10_000  # of one question
LEASE_SECONDS = 24 * 3600.0


class PublishingService(PublishingServicer):
    """Stores into a catalogue and its blobs; what these raise reaches the caller as it is."""

    def __init__(self, *, catalogue: Catalogue, blobs: Blobs, uploads: Uploads) -> None:
        self._catalogue = catalogue
        self._blobs = blobs
        self._uploads = uploads

    def FindMissing(
        self, request: pb.FindMissingRequest, context: grpc.ServicerContext
    ) -> pb.FindMissingResponse:
        if len(request.digests) > MAX_DIGESTS:
            raise BadInput(f"{len(request.digests)} digests were asked for, over {MAX_DIGESTS}.")
        # Before looking, so that garbage collection can't come in between.
        self._catalogue.lease(request.digests, seconds=LEASE_SECONDS)
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
        self._catalogue.lease([first.digest], seconds=LEASE_SECONDS)
        done = self._uploads.append(
            first.digest, first.size_bytes, first.offset, _data(first, request_iterator)
        )
        return pb.WriteBlobResponse(held_bytes=done.held_bytes, complete=done.complete)

    def AddVersion(
        self, request: pb.AddVersionRequest, context: grpc.ServicerContext
    ) -> pb.AddVersionResponse:
        """A version whose artifacts are those of the model's newest one is that version: the reply
        to an earlier call may have been lost."""
        version = decode_version(request.record)
        alias = request.alias if request.HasField("alias") else None
        by = describe_caller(context)
        ids = [row.id for row in version.artifacts]
        same = self._catalogue.find_same(version.model, ids)
        if same is not None:
            if alias is not None:
                self._catalogue.set_alias(version.model, alias, same.version, by=by)
            row = self._catalogue.version(version.model, same.version)
        else:
            manifests = {identity: self._read_manifest(identity) for identity in ids}
            row = self._catalogue.add_version(
                draft_from_record(version, manifests, alias=alias, by=by)
            )
        return pb.AddVersionResponse(version=wire.version_to_pb(row))

    def _read_manifest(self, identity: str) -> bytes:
        size_bytes = self._blobs.size(identity)
        if size_bytes > MAX_MANIFEST_BYTES:
            raise BadInput(f"The blob {identity[:12]} is too large to be a manifest.")
        return self._blobs.read(identity, 0, size_bytes)


def _data(first: pb.WriteBlobRequest, rest: Iterator[pb.WriteBlobRequest]) -> Iterator[bytes]:
    yield first.data
    for message in rest:
        yield message.data
