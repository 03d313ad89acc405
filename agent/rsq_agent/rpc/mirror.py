"""rsq.v1.Content of this node's cache, for other nodes. Whoever reads verifies every chunk, so a
mirror needs no trust."""

from __future__ import annotations

from collections.abc import Iterator

import grpc

from rsq.errors import NotFound
from rsq.rpc.blob_reads import read_in_messages
from rsq.v1 import registry_pb2 as pb
from rsq.v1.registry_pb2_grpc import ContentServicer
from rsq_agent.cache import Cache


class Mirror(ContentServicer):
    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def GetManifest(
        self, request: pb.GetManifestRequest, context: grpc.ServicerContext
    ) -> pb.GetManifestResponse:
        self._cache.manifest(request.artifact_id)  # raises NotFound, IntegrityError
        return pb.GetManifestResponse(
            manifest=self._cache.manifest_path(request.artifact_id).read_bytes()
        )

    def ReadBlob(
        self, request: pb.ReadBlobRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ReadBlobResponse]:
        path = self._cache.blob_path(request.digest)
        try:
            file = path.open("rb")
        except FileNotFoundError as e:
            raise NotFound(f"This mirror has no blob {request.digest[:12]}.") from e
        with file:

            def read(offset: int, length: int) -> bytes:
                file.seek(offset)
                return file.read(length)

            yield from read_in_messages(request, size_bytes=path.stat().st_size, read=read)
