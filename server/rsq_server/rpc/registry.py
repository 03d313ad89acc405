"""The registry over gRPC."""

from __future__ import annotations

import grpc

from rsq.call_record import current_caller
from rsq.v1 import registry_pb2 as pb
from rsq.v1.registry_pb2_grpc import RegistryServicer
from rsq.wire import registry as wire
from rsq_registry.catalogue import Catalogue


class RegistryService(RegistryServicer):
    """Answers from a catalogue; what it raises reaches the caller as it is."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

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

    def SetAlias(
        self, request: pb.SetAliasRequest, context: grpc.ServicerContext
    ) -> pb.SetAliasResponse:
        self._catalogue.set_alias(
            request.model, request.alias, request.version, by=current_caller()
        )
        return pb.SetAliasResponse()

    def RemoveAlias(
        self, request: pb.RemoveAliasRequest, context: grpc.ServicerContext
    ) -> pb.RemoveAliasResponse:
        self._catalogue.set_alias(request.model, request.alias, None, by=current_caller())
        return pb.RemoveAliasResponse()

    def ListAliasEvents(
        self, request: pb.ListAliasEventsRequest, context: grpc.ServicerContext
    ) -> pb.ListAliasEventsResponse:
        events = self._catalogue.alias_history(request.model)
        return pb.ListAliasEventsResponse(
            events=[wire.alias_event_to_pb(event) for event in events]
        )

    def DeprecateVersion(
        self, request: pb.DeprecateVersionRequest, context: grpc.ServicerContext
    ) -> pb.DeprecateVersionResponse:
        reason = request.reason if request.HasField("reason") else None
        self._catalogue.deprecate(request.model, request.version, reason)
        return pb.DeprecateVersionResponse()

    def DeleteVersion(
        self, request: pb.DeleteVersionRequest, context: grpc.ServicerContext
    ) -> pb.DeleteVersionResponse:
        self._catalogue.delete_version(request.model, request.version)
        return pb.DeleteVersionResponse()

    def ReportNode(
        self, request: pb.ReportNodeRequest, context: grpc.ServicerContext
    ) -> pb.ReportNodeResponse:
        self._catalogue.record_node(wire.node_report_from_pb(request.report))
        return pb.ReportNodeResponse()

    def ListNodes(
        self, request: pb.ListNodesRequest, context: grpc.ServicerContext
    ) -> pb.ListNodesResponse:
        return pb.ListNodesResponse(nodes=[wire.node_to_pb(row) for row in self._catalogue.nodes()])
