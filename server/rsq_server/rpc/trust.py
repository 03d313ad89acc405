"""Signed metadata over gRPC."""

from __future__ import annotations

from collections.abc import Iterator

import grpc

from rsq.errors import BadInput
from rsq.updates.metadata_files import MAX_FILES
from rsq.updates.names import MetadataName, check_name
from rsq.v1 import trust_pb2 as pb
from rsq.v1.trust_pb2_grpc import TrustServicer
from rsq_server.signing.repository import Repository


class TrustService(TrustServicer):
    """Answers from a repository; what it raises reaches the caller as it is."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def GetMetadata(
        self, request: pb.GetMetadataRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.GetMetadataResponse]:
        for piece in self._repository.files.metadata(_name(request)):
            yield pb.GetMetadataResponse(data=piece)

    def AddMetadata(
        self, request: pb.AddMetadataRequest, context: grpc.ServicerContext
    ) -> pb.AddMetadataResponse:
        if len(request.files) > MAX_FILES:
            raise BadInput(f"At most {MAX_FILES} metadata files can be added at once.")
        self._repository.put({_name(file): file.data for file in request.files})
        return pb.AddMetadataResponse()


def _name(message: pb.GetMetadataRequest | pb.MetadataFile) -> MetadataName:
    return check_name(message.role, message.version if message.HasField("version") else None)
