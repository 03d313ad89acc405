"""The registry as its callers see it: records in, records out."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from rsq.chunks import MAX_CALL_BYTES
from rsq.errors import BadInput
from rsq.records import AliasEvent, ModelRow, NodeReport, NodeRow, VersionRow
from rsq.rpc.channel import open_channel, translate_errors
from rsq.rpc.endpoint import Target, to_endpoint
from rsq.v1 import registry_pb2 as pb
from rsq.v1.registry_pb2_grpc import ContentStub, RegistryStub
from rsq.wire import registry as wire

CALL_SECONDS = 20.0


class RegistryClient:
    """Calls a server at HOST:PORT. Raises the rsq error that the server names, Unreachable where
    nothing answers, DeadlineExceeded after `CALL_SECONDS`."""

    def __init__(self, target: Target) -> None:
        self._endpoint = to_endpoint(target)
        self.target = self._endpoint.address
        self._channel = open_channel(self._endpoint)
        self._stub = RegistryStub(self._channel)
        self._content = ContentStub(self._channel)
        self._reads: set[Any] = set()  # calls of read_blob that are in flight

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def models(self) -> list[ModelRow]:
        with translate_errors(self._endpoint):
            reply = self._stub.ListModels(pb.ListModelsRequest(), timeout=CALL_SECONDS)
        return [wire.model_from_pb(model) for model in reply.models]

    def version(self, reference: str) -> VersionRow:
        """`reference` is NAME, NAME:3 or NAME@production."""
        with translate_errors(self._endpoint):
            reply = self._stub.GetVersion(
                pb.GetVersionRequest(reference=reference), timeout=CALL_SECONDS
            )
        return wire.version_from_pb(reply.version)

    def manifest(self, artifact_id: str) -> bytes:
        """The manifest's bytes, not yet verified."""
        with translate_errors(self._endpoint):
            reply = self._content.GetManifest(
                pb.GetManifestRequest(artifact_id=artifact_id), timeout=CALL_SECONDS
            )
        return reply.manifest

    def read_blob(
        self, digest: str, offset: int, length: int, *, timeout_seconds: float = CALL_SECONDS
    ) -> Iterator[bytes]:
        """The bytes of one short read, not yet verified."""
        request = pb.ReadBlobRequest(digest=digest, offset=offset, length=length)
        with translate_errors(self._endpoint):
            call = self._content.ReadBlob(request, timeout=timeout_seconds)
            self._reads.add(call)
            try:
                for reply in call:
                    yield reply.data
            finally:
                self._reads.discard(call)
                call.cancel()

    def read_whole_blob(self, digest: str) -> Iterator[bytes]:
        """All bytes of the blob in one pass, not yet verified."""
        offset = 0
        while True:
            start = offset
            try:
                for piece in self.read_blob(digest, offset, MAX_CALL_BYTES):
                    yield piece
                    offset += len(piece)
            except BadInput:
                # A read begins inside the blob; the one before ended where the blob does.
                if start == 0:
                    raise
                return
            if offset - start < MAX_CALL_BYTES:
                return

    def cancel_reads(self) -> None:
        """Ends reads in flight in other threads, which then raise Interrupted."""
        for call in list(self._reads):
            call.cancel()

    def set_alias(self, model: str, alias: str, version: int) -> None:
        with translate_errors(self._endpoint):
            self._stub.SetAlias(
                pb.SetAliasRequest(model=model, alias=alias, version=version),
                timeout=CALL_SECONDS,
            )

    def remove_alias(self, model: str, alias: str) -> None:
        with translate_errors(self._endpoint):
            self._stub.RemoveAlias(
                pb.RemoveAliasRequest(model=model, alias=alias), timeout=CALL_SECONDS
            )

    def alias_history(self, model: str) -> list[AliasEvent]:
        """Every move of every alias of the model, oldest first."""
        with translate_errors(self._endpoint):
            reply = self._stub.ListAliasEvents(
                pb.ListAliasEventsRequest(model=model), timeout=CALL_SECONDS
            )
        return [wire.alias_event_from_pb(event) for event in reply.events]

    def deprecate(self, model: str, version: int, reason: str | None) -> None:
        """Advises against the version; None takes that back."""
        request = pb.DeprecateVersionRequest(model=model, version=version, reason=reason)
        with translate_errors(self._endpoint):
            self._stub.DeprecateVersion(request, timeout=CALL_SECONDS)

    def delete_version(self, model: str, version: int) -> None:
        with translate_errors(self._endpoint):
            self._stub.DeleteVersion(
                pb.DeleteVersionRequest(model=model, version=version), timeout=CALL_SECONDS
            )

    def report_node(self, report: NodeReport) -> None:
        with translate_errors(self._endpoint):
            self._stub.ReportNode(
                pb.ReportNodeRequest(report=wire.node_report_to_pb(report)), timeout=CALL_SECONDS
            )

    def nodes(self) -> list[NodeRow]:
        with translate_errors(self._endpoint):
            reply = self._stub.ListNodes(pb.ListNodesRequest(), timeout=CALL_SECONDS)
        return [wire.node_from_pb(node) for node in reply.nodes]
