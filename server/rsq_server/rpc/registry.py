"""The registry over gRPC."""

from __future__ import annotations

from collections.abc import Iterator

import grpc

from rsq.errors import BadInput
from rsq.v1 import registry_pb2 as pb
from rsq.v1.registry_pb2_grpc import RegistryServicer
from rsq.wire import registry as wire
from rsq_registry.blobs import Blobs
from rsq_registry.catalogue import Catalogue

MAX_READ_BYTES = 16 << 20  # of one ReadBlob call: a slow reader holds a thread for no longer
MESSAGE_BYTES = 256 << 10  # large enough for full speed, well below grpc's default limit of 4 MiB


class RegistryService(RegistryServicer):
    """Answers from a catalogue and its blobs; what these raise reaches the caller as it is."""

    def __init__(self, *, catalogue: Catalogue, blobs: Blobs) -> None:
        self._catalogue = catalogue
        self._blobs = blobs

    def ListModels(
        self, request: pb.ListModelsRequest, context: grpc.ServicerContext
    ) -> pb.ListModelsResponse:
        models = self._catalogue.models()
        return pb.ListModelsResponse(models=[wire.model_to_pb(model) for model in models])

    def GetVersion(
        self, request: pb.GetVersionRequest, context: grpc.ServicerContext
    ) -> pb.GetVersionResponse:
        version = self._catalogue.resolve_reference(request.reference)
        return pb.GetVersionResponse(version=wire.version_to_pb(version))

    def GetManifest(
        self, request: pb.GetManifestRequest, context: grpc.ServicerContext
    ) -> pb.GetManifestResponse:
        return pb.GetManifestResponse(
            manifest=self._catalogue.artifact_manifest(request.artifact_id)
        )

    def ReadBlob(
        self, request: pb.ReadBlobRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ReadBlobResponse]:
        """The range, cut short where the blob ends."""
        offset, end = self._check_range(request)
        while data := self._blobs.read(request.digest, offset, min(MESSAGE_BYTES, end - offset)):
            yield pb.ReadBlobResponse(data=data)
            offset += len(data)

    def SetAlias(
        self, request: pb.SetAliasRequest, context: grpc.ServicerContext
    ) -> pb.SetAliasResponse:
        self._catalogue.set_alias(
            request.model, request.alias, request.version, by=_describe_caller(context)
        )
        return pb.SetAliasResponse()

    def ReportNode(
        self, request: pb.ReportNodeRequest, context: grpc.ServicerContext
    ) -> pb.ReportNodeResponse:
        self._catalogue.record_node(wire.node_report_from_pb(request.report))
        return pb.ReportNodeResponse()

    def ListNodes(
        self, request: pb.ListNodesRequest, context: grpc.ServicerContext
    ) -> pb.ListNodesResponse:
        return pb.ListNodesResponse(nodes=[wire.node_to_pb(row) for row in self._catalogue.nodes()])

    def _check_range(self, request: pb.ReadBlobRequest) -> tuple[int, int]:
        """(offset, end) inside the blob."""
        if not 1 <= request.length <= MAX_READ_BYTES:
            raise BadInput(f"A read is of 1 to {MAX_READ_BYTES} bytes, not {request.length}.")
        size_bytes = self._blobs.size(request.digest)
        if request.offset >= size_bytes:
            raise BadInput(
                f"Offset {request.offset} is beyond the blob {request.digest}, "
                f"which has {size_bytes} bytes."
            )
        return request.offset, min(request.offset + request.length, size_bytes)


def _describe_caller(context: grpc.ServicerContext) -> str:
    """Who moves an alias, for its history: the address, without the port of the moment."""
    return f"rpc {context.peer().rpartition(':')[0]}"
